"""The report of a training run as one HTML page that needs nothing else: no script, no other file, no network."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any, Final, get_args

from core import web_page
from core.training.report import Effect, Flip, Measured, Split, TrainingReport

_EFFECTS: Final[Mapping[Effect, tuple[str, str]]] = {
    "put right": ("good", "✓"),
    "spoilt": ("bad", "✕"),
    "still wrong": ("same", "○"),
}

_Lines = dict[str, list[float | None]]
"""Name → a figure an epoch."""


def to_html(report: TrainingReport, title: str) -> str:
    """The whole page. It holds ids, class names and figures, and nothing of what documents say."""
    sections = [
        web_page.section(
            "Before and after", "The same test documents, which nothing was learned from.", _tiles(report)
        ),
        web_page.section(
            "How training went",
            "A rehearsal holds some classes out to find when to stop; training then learns from all of them.",
            _history(report),
        ),
        web_page.section(
            "What is taken for what",
            "Test documents by true class (rows) and predicted class (columns). Framed blue cells are right, red "
            "ones are errors; the stronger the colour, the larger the share of the row.",
            _confusions(report),
            "wide",
        ),
        web_page.section(
            "Whether confidence can be trusted",
            "How often decisions of a confidence are right. Bars should reach their mean confidence: where they "
            "end below, the model is too sure; where above, not sure enough. Bars of few documents say little.",
            _reliabilities(report),
        ),
        web_page.section("Class by class", "The biggest change first.", _classes(report)),
        web_page.section("Documents decided otherwise", "", _flips(report.flips)),
        web_page.section("What was learned from", "", _data(report)),
        web_page.section("Settings", "", _settings(report.settings)),
    ]
    return web_page.page(title, _head(report, title), sections, _footer(report))


def _head(report: TrainingReport, title: str) -> str:
    verdict = "Accepted" if report.accepted else "Rejected: what served before stays"
    grade, sign = ("good", "✓") if report.accepted else ("bad", "✕")
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in report.reasons)
    facts = {
        "Class set": f"{report.class_set}, version {report.class_version}",
        "Encoder": report.encoder,
        "Learned from": f"{web_page.counted(sum(report.labels.values()), 'label')} of {len(report.labels)} classes",
        "Weights": f"{report.interpolation:.0%} trained, {1 - report.interpolation:.0%} untrained",
        "Temperature": f"{report.temperature:.3g}",
        "Took": web_page.duration(report.seconds),
    }
    listed = "".join(f"<div><dt>{name}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items())
    return (
        f'<header><p class="over">Training report</p><h1>{escape(title)}</h1>'
        f'<div class="verdict {grade}"><p><span aria-hidden="true">{sign}</span> {verdict}</p>'
        f"{f'<ul>{reasons}</ul>' if reasons else ''}</div>"
        f"<dl>{listed}</dl></header>"
    )


def _footer(report: TrainingReport) -> str:
    steps = [
        "the untrained model",
        *(f"checkpoint {parent}" for parent in report.parents),
        "<strong>this one</strong>",
    ]
    return f"<footer><p>Comes from {' → '.join(steps)}.</p></footer>"


def _tiles(report: TrainingReport) -> str:
    before, after = report.before, report.after
    right = f"{_right(before)} → {_right(after)} of {web_page.counted(after.documents, 'document')}"
    unseen = f"{len(report.held_out)} held out in the rehearsal" if report.held_out else "No class was held out"
    tiles = [
        _tile("Accuracy", before.accuracy, after.accuracy, web_page.percent, right),
        _tile(
            "Macro accuracy",
            before.macro_accuracy,
            after.macro_accuracy,
            web_page.percent,
            "Every class counts the same",
        ),
        _tile("Calibration error", before.ece, after.ece, web_page.decimal, "Confidence against accuracy (ECE)"),
        _tile("Unseen classes", report.unseen_before, report.unseen_after, web_page.percent, unseen),
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(name: str, before: float | None, after: float | None, shown: web_page.Shown, remark: str) -> str:
    return (
        f'<div class="tile"><h3>{name}</h3><p class="figure"><span>{shown(before)} →</span> '
        f"<strong>{shown(after)}</strong></p><p>{_change(before, after, shown)}</p>"
        f'<p class="soft">{escape(remark)}</p></div>'
    )


def _change(before: float | None, after: float | None, shown: web_page.Shown) -> str:
    """A share is better when it grows, an error (a plain decimal) when it shrinks."""
    if before is None or after is None:
        return '<span class="same">nothing to compare</span>'
    if shown(before) == shown(after):
        return '<span class="same">= unchanged</span>'
    size = f"{abs(after - before) * 100:.1f} points" if shown is web_page.percent else shown(abs(after - before))
    better = (after > before) == (shown is web_page.percent)
    return (
        f'<span class="{"good" if better else "bad"}">{"▲" if after > before else "▼"} {size}'
        f"{'' if shown is web_page.percent else ', better' if better else ', worse'}</span>"
    )


def _history(report: TrainingReport) -> str:
    history = report.history
    if not history:
        return web_page.none("No epoch was trained.")
    loss: _Lines = {"training": [one.loss for one in history], "validation": [one.validation_loss for one in history]}
    accuracy: _Lines = {"seen classes": [one.seen_accuracy for one in history]}
    if report.held_out:
        accuracy["held-out classes"] = [one.unseen_accuracy for one in history]
    head = ["phase", "epoch", "loss", "contrastive", "classification", "validation loss"]
    head += ["seen", "held out", "learning rate", "scale", "time"]
    rows = [
        [
            one.phase,
            f"{one.epoch}{' ★' if place == _chosen(report) else ''}",
            *map(web_page.decimal, (one.loss, one.contrastive, one.classification, one.validation_loss)),
            *map(web_page.percent, (one.seen_accuracy, one.unseen_accuracy)),
            f"{one.learning_rate:.3g}",
            f"{one.scale:.2f}",
            web_page.duration(one.seconds),
        ]
        for place, one in enumerate(history)
    ]
    table = web_page.table(head, rows, range(1, len(head)))
    return (
        web_page.pair(
            web_page.figure("Loss", _curves(report, loss, web_page.decimal)),
            web_page.figure("Macro accuracy on validation documents", _curves(report, accuracy, web_page.percent)),
        )
        + f"<details><summary>All epochs in figures (★ the chosen one)</summary>{table}</details>"
    )


def _chosen(report: TrainingReport) -> int | None:
    """Where the chosen epoch stands in the history: in the rehearsal, if there was one."""
    epochs = [one.epoch for one in report.history]
    return epochs.index(report.chosen_epoch) if report.chosen_epoch in epochs else None


def _curves(report: TrainingReport, lines: _Lines, shown: web_page.Shown) -> str:
    """At most two lines over the epochs. The phases stand side by side, on one scale."""
    values = [value for line in lines.values() for value in line if value is not None]
    if not values:
        return web_page.none("Nothing was measured.")
    height, top, bottom = 270, 44, 230
    epochs = [one.epoch for one in report.history]
    ticks = web_page.ticks(min(values) if shown is web_page.percent else min(0, *values), max(values), shown)
    phases = [(phase, list(group)) for phase, group in groupby(range(len(epochs)), lambda i: report.history[i].phase)]
    step = (web_page.WIDTH - web_page.LEFT - web_page.RIGHT) / (len(epochs) + 0.3 * (len(phases) - 1))
    x = [web_page.LEFT + step * (i + 0.5 + 0.3 * place) for place, (_, group) in enumerate(phases) for i in group]
    y = web_page.scale((ticks[0], ticks[-1]), (bottom, top))
    chosen = _chosen(report)

    parts = []
    for phase, group in phases:
        left, right = x[group[0]] - step / 2, x[group[-1]] + step / 2
        parts.append(web_page.box("band", left, top, right - left, bottom - top))
        name = f"{phase}, {len(report.held_out)} held out" if phase == "rehearsal" and report.held_out else phase
        parts.append(web_page.label((left + right) / 2, top - 6, web_page.fitting(name, right - left), "middle"))
    parts += web_page.y_axis("loss" if shown is web_page.decimal else "macro accuracy", ticks, y, shown)
    every = math.ceil(18 / step)
    parts += [
        web_page.label(x[i], bottom + 15, str(n), "middle") for i, n in enumerate(epochs) if (n - 1) % every == 0
    ]
    parts.append(web_page.label((web_page.LEFT + web_page.WIDTH - web_page.RIGHT) / 2, height - 6, "epoch", "middle"))
    if chosen is not None:
        parts.append(web_page.line("chosen", x[chosen], top, x[chosen], bottom))
    for kind, (name, line) in zip(("first", "second"), lines.items(), strict=False):
        for phase, group in phases:
            points = [(i, value) for i in group if (value := line[i]) is not None]
            path = " ".join(f"{x[i]:.1f},{y(value):.1f}" for i, value in points)
            parts.append(f'<polyline class="{kind}" points="{path}"/>')
            parts += [
                web_page.mark(kind, x[i], y(value), f"{name}, {phase}, epoch {epochs[i]}: {shown(value)}")
                for i, value in points
            ]
    legend = [(web_page.mark(kind, 0, 0), name) for kind, name in zip(("first", "second"), lines, strict=False)]
    if chosen is not None:
        legend.append((web_page.line("chosen", 0, -6, 0, 6), f"chosen: epoch {epochs[chosen]}"))
    return web_page.svg(web_page.WIDTH, height, f"{' and '.join(lines)} by epoch", [*parts, *web_page.legend(legend)])


def _confusions(report: TrainingReport) -> str:
    counts = report.before.confusion, report.after.confusion
    names = sorted(
        {name for count in counts for row in count.items() for name in (row[0], *row[1])}, key=web_page.spaced
    )
    if not names:
        return web_page.none("There were no test documents.")
    return web_page.pair(
        *(
            web_page.figure(
                f"{when}: {_right(measured)} of {measured.documents} right", _confusion(measured.confusion, names)
            )
            for when, measured in (("Before", report.before), ("After", report.after))
        )
    )


def _confusion(counts: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> str:
    cell = max(16, min(44, 420 // len(names)))
    side = cell * len(names)
    margin = min(120 if len(names) <= 24 else 190, max(map(len, names)) * web_page.TYPE * web_page.LETTER + 8)
    left = top = margin + 16
    parts = [
        web_page.label(left + side / 2, 11, "predicted", "middle"),
        web_page.label(11, top + side / 2, "true", "middle", turned=True),
        f'<g class="grid">{_lines(left, top, side, cell)}</g>',
    ]
    for place, truth in enumerate(names):
        short, start = web_page.fitting(web_page.spaced(truth), margin), place * cell
        parts.append(web_page.label(left - 5, top + start + cell / 2 + 4, short, "end ink", title=truth))
        parts.append(
            web_page.label(left + start + cell / 2 + 4, top - 5, short, "start ink", title=truth, turned=True)
        )
        row = counts.get(truth, {})
        parts += [
            _cell(truth, predicted, count, sum(row.values()), left + column * cell, top + start, cell)
            for column, predicted in enumerate(names)
            if (count := row.get(predicted, 0))
        ]
        parts.append(web_page.box("frame", left + start, top + start, cell, cell))
    return web_page.svg(left + side + 4, top + side + 4, "true class against predicted class", parts, "natural")


def _cell(truth: str, predicted: str, count: int, of: int, x: float, y: float, side: float) -> str:
    """`count` of the `of` documents of a class, all taken for the same."""
    right, share, size = truth == predicted, count / of, min(12.0, side * 0.58)
    said = (
        f"{web_page.spaced(truth)}, right"
        if right
        else f"{web_page.spaced(truth)} taken for {web_page.spaced(predicted)}"
    )
    box = web_page.box("right" if right else "wrong", x + 1, y + 1, side - 2, side - 2, opacity=0.25 + 0.75 * share)
    ink = "middle paper" if share > 0.5 else "middle ink"  # or it could not be read on a strong colour
    number = web_page.label(x + side / 2, y + side / 2 + size * 0.36, str(count), ink, size=size)
    return f"<g><title>{escape(said)}: {count} of {of}</title>{box}{number}</g>"


def _lines(left: float, top: float, side: float, cell: float) -> str:
    at = [place * cell for place in range(round(side / cell) + 1)]
    return "".join(
        web_page.line("", left, top + d, left + side, top + d)
        + web_page.line("", left + d, top, left + d, top + side)
        for d in at
    )


def _reliabilities(report: TrainingReport) -> str:
    most = max((one.documents for when in (report.before, report.after) for one in when.reliability), default=0)
    if not most:
        return web_page.none("There were no test documents.")
    return web_page.pair(
        *(
            web_page.figure(
                f"{when}: calibration error {web_page.decimal(measured.ece)}", _reliability(measured, most)
            )
            for when, measured in (("Before", report.before), ("After", report.after))
        )
    )


def _reliability(measured: Measured, most: int) -> str:
    """Accuracy by confidence, and below it how many documents; `most` of a bin set the scale of both diagrams."""
    height, top, bottom, floor = 320, 30, 220, 272
    x, y = (
        web_page.scale((0, 1), (web_page.LEFT, web_page.WIDTH - web_page.RIGHT)),
        web_page.scale((0, 1), (bottom, top)),
    )
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    parts = [
        web_page.box("band", web_page.LEFT, top, x(1) - web_page.LEFT, bottom - top),
        *web_page.y_axis("accuracy", ticks, y, web_page.percent),
    ]
    parts += [web_page.label(x(tick), floor + 15, web_page.whole(tick), "middle") for tick in ticks]
    parts.append(web_page.label((web_page.LEFT + x(1)) / 2, height - 8, "confidence", "middle"))
    parts.append(web_page.label(13, (bottom + floor) / 2 + 4, "documents", "middle", turned=True))
    for one in measured.reliability:
        left, across = x(one.lower) + 1, x(one.upper) - x(one.lower) - 2
        tall = 26 * one.documents / most
        said = (
            f"confidence {web_page.whole(one.lower)} to {web_page.whole(one.upper)}: "
            f"{web_page.counted(one.documents, 'document')}, "
            f"mean confidence {web_page.percent(one.confidence)}, right {web_page.percent(one.accuracy)}"
        )
        parts.append(
            f"<g><title>{said}</title>{web_page.box('bar', left, y(one.accuracy), across, bottom - y(one.accuracy))}"
            f"{web_page.line('mean', left, y(one.confidence), left + across, y(one.confidence))}"
            f"{web_page.box('count', left, floor - tall, across, tall)}"
            f"{web_page.label(left + across / 2, floor - tall - 3, str(one.documents), 'middle', size=10)}</g>"
        )
    parts += [
        web_page.line("axis", web_page.LEFT, floor, x(1), floor),
        web_page.line("diagonal", web_page.LEFT, bottom, x(1), top),
    ]
    legend = [
        (web_page.box("bar", -5, -5, 10, 10), "share that is right"),
        (web_page.line("mean", -6, 0, 6, 0), "mean confidence"),
        (web_page.line("diagonal", -6, 5, 6, -5), "ideal"),
    ]
    return web_page.svg(web_page.WIDTH, height, "accuracy by confidence", [*parts, *web_page.legend(legend)])


def _classes(report: TrainingReport) -> str:
    before, after = report.before.per_class, report.after.per_class
    rows = []
    for name in {*report.labels, *before, *after}:
        old, new = (results[name].accuracy if name in results else None for results in (before, after))
        tested = max(results[name].documents if name in results else 0 for results in (before, after))
        held_out = ' <span class="tag">held out in the rehearsal</span>' if name in report.held_out else ""
        row = [
            f"{escape(web_page.spaced(name))}{held_out}",
            str(report.labels.get(name, 0)),
            str(tested),
            web_page.percent(old),
            web_page.percent(new),
            _change(old, new, web_page.percent) if tested else "",
            _dumbbell(old, new),
        ]
        change = -1 if old is None or new is None else abs(new - old)
        rows.append((-change, web_page.spaced(name), row))
    head = ["class", "labels", "tested", "before", "after", "change", "○ before, ● after, of 100%"]
    return (
        web_page.table(head, [row for *_, row in sorted(rows)], range(1, 6))
        if rows
        else web_page.none("There were no classes.")
    )


def _dumbbell(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return ""
    grade = "same" if before == after else "good" if after > before else "bad"
    x = web_page.scale((0, 1), (6, 154))
    parts = [
        web_page.line("track", 6, 8, 154, 8),
        web_page.line(f"move {grade}", x(before), 8, x(after), 8),
        f'<circle class="hollow {grade}" cx="{x(before):.1f}" cy="8" r="4"/>',
        f'<circle class="full {grade}" cx="{x(after):.1f}" cy="8" r="4.5"/>',
    ]
    return web_page.svg(
        160, 16, f"{web_page.percent(before)} before, {web_page.percent(after)} after", parts, "natural"
    )


def _flips(flips: Sequence[Flip]) -> str:
    if not flips:
        return web_page.none("Every test document is decided as before.")
    tables = []
    for effect, (grade, sign) in _EFFECTS.items():
        rows = [
            [
                web_page.identity(flip.document_id),
                escape(web_page.spaced(flip.truth)),
                escape(web_page.spaced(flip.before)),
                web_page.percent(flip.before_confidence),
                f'<b class="{grade}">{sign} {escape(web_page.spaced(flip.after))}</b>',
                web_page.percent(flip.after_confidence),
            ]
            for flip in flips
            if flip.effect == effect
        ]
        head = ["document", "is", "before", "confidence", "after", "confidence"]
        tables.append(
            f'<h3 class="{grade}">{sign} {web_page.counted(len(rows), "document")} {effect}</h3>'
            + (web_page.table(head, rows, (3, 5)) if rows else "")
        )
    return "".join(tables)


def _data(report: TrainingReport) -> str:
    most = max([1, *report.labels.values()])
    bars = [
        f"<li><span>{escape(web_page.spaced(name))}</span>{web_page.bar(0, count / most)}<b>{count}</b></li>"
        for name, count in sorted(report.labels.items(), key=lambda item: (-item[1], item[0]))
    ]
    skipped = [[web_page.identity(key), escape(reason)] for key, reason in sorted(report.skipped.items())]
    return (
        f"<h3>Documents</h3>{_splits(report.documents)}<h3>Labels of each class</h3>"
        + (f'<ul class="bars">{"".join(bars)}</ul>' if bars else web_page.none("There were no labels."))
        + "<h3>Left out</h3>"
        + (web_page.table(["document", "why"], skipped) if skipped else web_page.none("Nothing was left out."))
    )


def _splits(documents: Mapping[Split, int]) -> str:
    total = sum(documents.values())
    if not total:
        return web_page.none("There were no documents.")
    start, bars, legend = 0.0, [], []
    for place, name in enumerate(get_args(Split)):
        count = documents.get(name, 0)
        share = count / total
        bars.append(f'<rect class="split{place}" x="{start:.2%}" width="{share:.2%}" height="100%"/>')
        legend.append(f'<li class="split{place}"><span></span>{name} <b>{count}</b></li>')
        start += share
    return f'<svg class="splits" aria-hidden="true">{"".join(bars)}</svg><ul class="legend">{"".join(legend)}</ul>'


def _settings(settings: Mapping[str, Any]) -> str:
    rows = [
        [
            escape(web_page.spaced(name)),
            escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)),
        ]
        for name, value in sorted(_flat(settings), key=lambda pair: pair[0])
    ]
    return web_page.table(["setting", "value"], rows) if rows else web_page.none("There are none.")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _right(measured: Measured) -> int:
    return sum(row.get(truth, 0) for truth, row in measured.confusion.items())
