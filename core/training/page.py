"""The report of a training run as one HTML page that needs nothing else: no script, no other file, no network."""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any, Final, get_args

from core.training.report import Effect, Flip, Measured, Split, TrainingReport

NOTHING: Final = "—"
"""Stands for a figure that there is none of."""
_EFFECTS: Final[Mapping[Effect, tuple[str, str]]] = {
    "put right": ("good", "✓"),
    "spoilt": ("bad", "✕"),
    "still wrong": ("same", "○"),
}
_LETTER: Final = 0.56
"""Width of a letter on average, in heights of the type."""
_TYPE: Final = 11
"""Height of the type in charts. Charts are drawn for the width of a phone, and grow by a third at most."""
_WIDTH: Final = 440
_LEFT, _RIGHT = 52, 18
"""Margins of a chart's plot."""

_Shown = Callable[[float | None], str]
"""A figure in words."""
_Lines = dict[str, list[float | None]]
"""Name → a figure an epoch."""


def to_html(report: TrainingReport, title: str) -> str:
    """The whole page. It holds ids, class names and figures, and nothing of what documents say."""
    sections = [
        _section("Before and after", "The same test documents, which nothing was learned from.", _tiles(report)),
        _section(
            "How training went",
            "A rehearsal holds some classes out to find when to stop; training then learns from all of them.",
            _history(report),
        ),
        _section(
            "What is taken for what",
            "Test documents by true class (rows) and predicted class (columns). Framed blue cells are right, red "
            "ones are errors; the stronger the colour, the larger the share of the row.",
            _confusions(report),
            "wide",
        ),
        _section(
            "Whether confidence can be trusted",
            "How often decisions of a confidence are right. Bars should reach their mean confidence: where they "
            "end below, the model is too sure; where above, not sure enough. Bars of few documents say little.",
            _reliabilities(report),
        ),
        _section("Class by class", "The biggest change first.", _classes(report)),
        _section("Documents decided otherwise", "", _flips(report.flips)),
        _section("What was learned from", "", _data(report)),
        _section("Settings", "", _settings(report.settings)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{_head(report, title)}\n<main>\n{''.join(sections)}</main>\n{_footer(report)}\n</body>\n</html>\n"
    )


def _head(report: TrainingReport, title: str) -> str:
    verdict = "Accepted" if report.accepted else "Rejected: what served before stays"
    grade, sign = ("good", "✓") if report.accepted else ("bad", "✕")
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in report.reasons)
    facts = {
        "Class set": f"{report.class_set}, version {report.class_version}",
        "Encoder": report.encoder,
        "Learned from": f"{_counted(sum(report.labels.values()), 'label')} of {len(report.labels)} classes",
        "Weights": f"{report.interpolation:.0%} trained, {1 - report.interpolation:.0%} untrained",
        "Temperature": f"{report.temperature:.3g}",
        "Took": _duration(report.seconds),
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
    right = f"{_right(before)} → {_right(after)} of {_counted(after.documents, 'document')}"
    unseen = f"{len(report.held_out)} held out in the rehearsal" if report.held_out else "No class was held out"
    tiles = [
        _tile("Accuracy", before.accuracy, after.accuracy, _percent, right),
        _tile("Macro accuracy", before.macro_accuracy, after.macro_accuracy, _percent, "Every class counts the same"),
        _tile("Calibration error", before.ece, after.ece, _decimal, "Confidence against accuracy (ECE)"),
        _tile("Unseen classes", report.unseen_before, report.unseen_after, _percent, unseen),
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(name: str, before: float | None, after: float | None, shown: _Shown, remark: str) -> str:
    return (
        f'<div class="tile"><h3>{name}</h3><p class="figure"><span>{shown(before)} →</span> '
        f"<strong>{shown(after)}</strong></p><p>{_change(before, after, shown)}</p>"
        f'<p class="soft">{escape(remark)}</p></div>'
    )


def _change(before: float | None, after: float | None, shown: _Shown) -> str:
    """A share is better when it grows, an error (a plain decimal) when it shrinks."""
    if before is None or after is None:
        return '<span class="same">nothing to compare</span>'
    if shown(before) == shown(after):
        return '<span class="same">= unchanged</span>'
    size = f"{abs(after - before) * 100:.1f} points" if shown is _percent else shown(abs(after - before))
    better = (after > before) == (shown is _percent)
    return (
        f'<span class="{"good" if better else "bad"}">{"▲" if after > before else "▼"} {size}'
        f"{'' if shown is _percent else ', better' if better else ', worse'}</span>"
    )


def _history(report: TrainingReport) -> str:
    history = report.history
    if not history:
        return _none("No epoch was trained.")
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
            *map(_decimal, (one.loss, one.contrastive, one.classification, one.validation_loss)),
            *map(_percent, (one.seen_accuracy, one.unseen_accuracy)),
            f"{one.learning_rate:.3g}",
            f"{one.scale:.2f}",
            _duration(one.seconds),
        ]
        for place, one in enumerate(history)
    ]
    table = _table(head, rows, range(1, len(head)))
    return (
        _pair(
            _figure("Loss", _curves(report, loss, _decimal)),
            _figure("Macro accuracy on validation documents", _curves(report, accuracy, _percent)),
        )
        + f"<details><summary>All epochs in figures (★ the chosen one)</summary>{table}</details>"
    )


def _chosen(report: TrainingReport) -> int | None:
    """Where the chosen epoch stands in the history: in the rehearsal, if there was one."""
    epochs = [one.epoch for one in report.history]
    return epochs.index(report.chosen_epoch) if report.chosen_epoch in epochs else None


def _curves(report: TrainingReport, lines: _Lines, shown: _Shown) -> str:
    """At most two lines over the epochs. The phases stand side by side, on one scale."""
    values = [value for line in lines.values() for value in line if value is not None]
    if not values:
        return _none("Nothing was measured.")
    height, top, bottom = 270, 44, 230
    epochs = [one.epoch for one in report.history]
    ticks = _ticks(min(values) if shown is _percent else min(0, *values), max(values), shown)
    phases = [(phase, list(group)) for phase, group in groupby(range(len(epochs)), lambda i: report.history[i].phase)]
    step = (_WIDTH - _LEFT - _RIGHT) / (len(epochs) + 0.3 * (len(phases) - 1))
    x = [_LEFT + step * (i + 0.5 + 0.3 * place) for place, (_, group) in enumerate(phases) for i in group]
    y = _scale((ticks[0], ticks[-1]), (bottom, top))
    chosen = _chosen(report)

    parts = []
    for phase, group in phases:
        left, right = x[group[0]] - step / 2, x[group[-1]] + step / 2
        parts.append(_box("band", left, top, right - left, bottom - top))
        name = f"{phase}, {len(report.held_out)} held out" if phase == "rehearsal" and report.held_out else phase
        parts.append(_label((left + right) / 2, top - 6, _fitting(name, right - left), "middle"))
    parts += _y_axis("loss" if shown is _decimal else "macro accuracy", ticks, y, shown)
    every = math.ceil(18 / step)
    parts += [_label(x[i], bottom + 15, str(n), "middle") for i, n in enumerate(epochs) if (n - 1) % every == 0]
    parts.append(_label((_LEFT + _WIDTH - _RIGHT) / 2, height - 6, "epoch", "middle"))
    if chosen is not None:
        parts.append(_line("chosen", x[chosen], top, x[chosen], bottom))
    for kind, (name, line) in zip(("first", "second"), lines.items(), strict=False):
        for phase, group in phases:
            points = [(i, value) for i in group if (value := line[i]) is not None]
            path = " ".join(f"{x[i]:.1f},{y(value):.1f}" for i, value in points)
            parts.append(f'<polyline class="{kind}" points="{path}"/>')
            parts += [
                _mark(kind, x[i], y(value), f"{name}, {phase}, epoch {epochs[i]}: {shown(value)}")
                for i, value in points
            ]
    legend = [(_mark(kind, 0, 0), name) for kind, name in zip(("first", "second"), lines, strict=False)]
    if chosen is not None:
        legend.append((_line("chosen", 0, -6, 0, 6), f"chosen: epoch {epochs[chosen]}"))
    return _svg(_WIDTH, height, f"{' and '.join(lines)} by epoch", [*parts, *_legend(legend)])


def _confusions(report: TrainingReport) -> str:
    counts = report.before.confusion, report.after.confusion
    names = sorted({name for count in counts for row in count.items() for name in (row[0], *row[1])}, key=_spaced)
    if not names:
        return _none("There were no test documents.")
    return _pair(
        *(
            _figure(
                f"{when}: {_right(measured)} of {measured.documents} right", _confusion(measured.confusion, names)
            )
            for when, measured in (("Before", report.before), ("After", report.after))
        )
    )


def _confusion(counts: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> str:
    cell = max(16, min(44, 420 // len(names)))
    side = cell * len(names)
    margin = min(120 if len(names) <= 24 else 190, max(map(len, names)) * _TYPE * _LETTER + 8)
    left = top = margin + 16
    parts = [
        _label(left + side / 2, 11, "predicted", "middle"),
        _label(11, top + side / 2, "true", "middle", turned=True),
        f'<g class="grid">{_lines(left, top, side, cell)}</g>',
    ]
    for place, truth in enumerate(names):
        short, start = _fitting(_spaced(truth), margin), place * cell
        parts.append(_label(left - 5, top + start + cell / 2 + 4, short, "end ink", title=truth))
        parts.append(_label(left + start + cell / 2 + 4, top - 5, short, "start ink", title=truth, turned=True))
        row = counts.get(truth, {})
        parts += [
            _cell(truth, predicted, count, sum(row.values()), left + column * cell, top + start, cell)
            for column, predicted in enumerate(names)
            if (count := row.get(predicted, 0))
        ]
        parts.append(_box("frame", left + start, top + start, cell, cell))
    return _svg(left + side + 4, top + side + 4, "true class against predicted class", parts, "natural")


def _cell(truth: str, predicted: str, count: int, of: int, x: float, y: float, side: float) -> str:
    """`count` of the `of` documents of a class, all taken for the same."""
    right, share, size = truth == predicted, count / of, min(12.0, side * 0.58)
    said = f"{_spaced(truth)}, right" if right else f"{_spaced(truth)} taken for {_spaced(predicted)}"
    box = _box("right" if right else "wrong", x + 1, y + 1, side - 2, side - 2, opacity=0.25 + 0.75 * share)
    ink = "middle paper" if share > 0.5 else "middle ink"  # or it could not be read on a strong colour
    number = _label(x + side / 2, y + side / 2 + size * 0.36, str(count), ink, size=size)
    return f"<g><title>{escape(said)}: {count} of {of}</title>{box}{number}</g>"


def _lines(left: float, top: float, side: float, cell: float) -> str:
    at = [place * cell for place in range(round(side / cell) + 1)]
    return "".join(
        _line("", left, top + d, left + side, top + d) + _line("", left + d, top, left + d, top + side) for d in at
    )


def _reliabilities(report: TrainingReport) -> str:
    most = max((one.documents for when in (report.before, report.after) for one in when.reliability), default=0)
    if not most:
        return _none("There were no test documents.")
    return _pair(
        *(
            _figure(f"{when}: calibration error {_decimal(measured.ece)}", _reliability(measured, most))
            for when, measured in (("Before", report.before), ("After", report.after))
        )
    )


def _reliability(measured: Measured, most: int) -> str:
    """Accuracy by confidence, and below it how many documents; `most` of a bin set the scale of both diagrams."""
    height, top, bottom, floor = 320, 30, 220, 272
    x, y = _scale((0, 1), (_LEFT, _WIDTH - _RIGHT)), _scale((0, 1), (bottom, top))
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    parts = [_box("band", _LEFT, top, x(1) - _LEFT, bottom - top), *_y_axis("accuracy", ticks, y, _percent)]
    parts += [_label(x(tick), floor + 15, _whole(tick), "middle") for tick in ticks]
    parts.append(_label((_LEFT + x(1)) / 2, height - 8, "confidence", "middle"))
    parts.append(_label(13, (bottom + floor) / 2 + 4, "documents", "middle", turned=True))
    for one in measured.reliability:
        left, across = x(one.lower) + 1, x(one.upper) - x(one.lower) - 2
        tall = 26 * one.documents / most
        said = (
            f"confidence {_whole(one.lower)} to {_whole(one.upper)}: {_counted(one.documents, 'document')}, "
            f"mean confidence {_percent(one.confidence)}, right {_percent(one.accuracy)}"
        )
        parts.append(
            f"<g><title>{said}</title>{_box('bar', left, y(one.accuracy), across, bottom - y(one.accuracy))}"
            f"{_line('mean', left, y(one.confidence), left + across, y(one.confidence))}"
            f"{_box('count', left, floor - tall, across, tall)}"
            f"{_label(left + across / 2, floor - tall - 3, str(one.documents), 'middle', size=10)}</g>"
        )
    parts += [_line("axis", _LEFT, floor, x(1), floor), _line("diagonal", _LEFT, bottom, x(1), top)]
    legend = [
        (_box("bar", -5, -5, 10, 10), "share that is right"),
        (_line("mean", -6, 0, 6, 0), "mean confidence"),
        (_line("diagonal", -6, 5, 6, -5), "ideal"),
    ]
    return _svg(_WIDTH, height, "accuracy by confidence", [*parts, *_legend(legend)])


def _classes(report: TrainingReport) -> str:
    before, after = report.before.per_class, report.after.per_class
    rows = []
    for name in {*report.labels, *before, *after}:
        old, new = (results[name].accuracy if name in results else None for results in (before, after))
        tested = max(results[name].documents if name in results else 0 for results in (before, after))
        held_out = ' <span class="tag">held out in the rehearsal</span>' if name in report.held_out else ""
        row = [
            f"{escape(_spaced(name))}{held_out}",
            str(report.labels.get(name, 0)),
            str(tested),
            _percent(old),
            _percent(new),
            _change(old, new, _percent) if tested else "",
            _dumbbell(old, new),
        ]
        change = -1 if old is None or new is None else abs(new - old)
        rows.append((-change, _spaced(name), row))
    head = ["class", "labels", "tested", "before", "after", "change", "○ before, ● after, of 100%"]
    return _table(head, [row for *_, row in sorted(rows)], range(1, 6)) if rows else _none("There were no classes.")


def _dumbbell(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return ""
    grade = "same" if before == after else "good" if after > before else "bad"
    x = _scale((0, 1), (6, 154))
    parts = [
        _line("track", 6, 8, 154, 8),
        _line(f"move {grade}", x(before), 8, x(after), 8),
        f'<circle class="hollow {grade}" cx="{x(before):.1f}" cy="8" r="4"/>',
        f'<circle class="full {grade}" cx="{x(after):.1f}" cy="8" r="4.5"/>',
    ]
    return _svg(160, 16, f"{_percent(before)} before, {_percent(after)} after", parts, "natural")


def _flips(flips: Sequence[Flip]) -> str:
    if not flips:
        return _none("Every test document is decided as before.")
    tables = []
    for effect, (grade, sign) in _EFFECTS.items():
        rows = [
            [
                _identity(flip.document_id),
                escape(_spaced(flip.truth)),
                escape(_spaced(flip.before)),
                _percent(flip.before_confidence),
                f'<b class="{grade}">{sign} {escape(_spaced(flip.after))}</b>',
                _percent(flip.after_confidence),
            ]
            for flip in flips
            if flip.effect == effect
        ]
        head = ["document", "is", "before", "confidence", "after", "confidence"]
        tables.append(
            f'<h3 class="{grade}">{sign} {_counted(len(rows), "document")} {effect}</h3>'
            + (_table(head, rows, (3, 5)) if rows else "")
        )
    return "".join(tables)


def _data(report: TrainingReport) -> str:
    most = max([1, *report.labels.values()])
    bars = [
        f"<li><span>{escape(_spaced(name))}</span>{_bar(0, count / most)}<b>{count}</b></li>"
        for name, count in sorted(report.labels.items(), key=lambda item: (-item[1], item[0]))
    ]
    skipped = [[_identity(key), escape(reason)] for key, reason in sorted(report.skipped.items())]
    return (
        f"<h3>Documents</h3>{_splits(report.documents)}<h3>Labels of each class</h3>"
        + (f'<ul class="bars">{"".join(bars)}</ul>' if bars else _none("There were no labels."))
        + "<h3>Left out</h3>"
        + (_table(["document", "why"], skipped) if skipped else _none("Nothing was left out."))
    )


def _splits(documents: Mapping[Split, int]) -> str:
    total = sum(documents.values())
    if not total:
        return _none("There were no documents.")
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
            escape(_spaced(name)),
            escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)),
        ]
        for name, value in sorted(_flat(settings), key=lambda pair: pair[0])
    ]
    return _table(["setting", "value"], rows) if rows else _none("There are none.")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _section(name: str, lead: str, body: str, kind: str = "") -> str:
    said = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section class="{kind}"><h2>{name}</h2>{said}{body}</section>\n'


def _pair(*figures: str) -> str:
    return f'<div class="pair">{"".join(figures)}</div>'


def _figure(caption: str, drawing: str) -> str:
    return f'<figure><figcaption>{caption}</figcaption><div class="scroll">{drawing}</div></figure>'


def _none(said: str) -> str:
    return f'<p class="none">{said}</p>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Cells are HTML; those in the columns `numbers` stand to the right. A long one scrolls."""

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = (' class="number"' if column in numbers else "" for column in range(len(row)))
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll table" tabindex="0"><table><thead><tr>{cells("th", head)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _identity(identity: str) -> str:
    """A hash is shortened, a name is not."""
    if re.fullmatch("[0-9a-fA-F]{32,}", identity):
        return f'<code class="hash" title="{identity}">{identity[:12]}…</code>'
    return f"<code>{escape(identity)}</code>"


def _bar(start: float, share: float) -> str:
    return f'<svg class="bar" aria-hidden="true"><rect x="{start:.2%}" width="{share:.2%}" height="100%"/></svg>'


def _svg(width: float, height: float, label: str, parts: Iterable[str], kind: str = "chart") -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        f'role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _box(kind: str, x: float, y: float, width: float, height: float, opacity: float | None = None) -> str:
    faint = "" if opacity is None else f' fill-opacity="{opacity:.2f}"'
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"{faint}/>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _mark(kind: str, x: float, y: float, said: str = "") -> str:
    """A disc for the first line, a square for the second."""
    title = f"<title>{escape(said)}</title>" if said else ""
    if kind == "first":
        return f'<circle class="mark {kind}" cx="{x:.1f}" cy="{y:.1f}" r="3">{title}</circle>'
    return f'<rect class="mark {kind}" x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6">{title}</rect>'


def _label(
    x: float, y: float, text: str, kind: str, *, size: float = _TYPE, title: str = "", turned: bool = False
) -> str:
    """`turned` reads upwards from (x, y)."""
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    said = f"<title>{escape(title)}</title>" if title else ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}"{turn}>{said}{escape(text)}</text>'


def _legend(entries: Iterable[tuple[str, str]]) -> list[str]:
    """Samples, drawn around (0, 0), each with its name, from the left above the plot."""
    parts, x = [], _LEFT + 6.0
    for sample, name in entries:
        parts.append(f'<g transform="translate({x:.1f} 12)">{sample}{_label(10, 4, name, "start")}</g>')
        x += 34 + len(name) * _TYPE * 0.6
    return parts


def _y_axis(name: str, ticks: Sequence[float], y: Callable[[float], float], shown: _Shown) -> list[str]:
    parts = [_label(11, (y(ticks[0]) + y(ticks[-1])) / 2, name, "middle", turned=True)]
    for tick in ticks:
        parts.append(_line("grid", _LEFT, y(tick), _WIDTH - _RIGHT, y(tick)))
        parts.append(_label(_LEFT - 6, y(tick) + 4, _whole(tick) if shown is _percent else f"{tick:g}", "end"))
    return parts


def _ticks(low: float, high: float, shown: _Shown) -> list[float]:
    """Round numbers from below `low` to above `high`; shares end at 1."""
    room = max(high - low, 0.05) / 4
    unit = 10.0 ** math.floor(math.log10(room))
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= room)
    first, last = math.floor(low / step + 1e-9), math.ceil(max(high, low + step) / step - 1e-9)
    ticks = [round(place * step, 10) for place in range(first, last + 1)]
    if shown is _percent and ticks[-1] > 1:
        ticks = [round(tick - step * round((ticks[-1] - 1) / step), 10) for tick in ticks]
    return ticks


def _scale(values: tuple[float, float], places: tuple[float, float]) -> Callable[[float], float]:
    (low, high), (start, end) = values, places
    return lambda value: start + (end - start) * (value - low) / (high - low)


def _fitting(text: str, room: float) -> str:
    """As much of a text as has room (in units of the chart)."""
    letters = int(room / _TYPE / _LETTER)
    return text if len(text) <= letters else f"{text[: max(0, letters - 1)].rstrip()}…"


def _right(measured: Measured) -> int:
    return sum(row.get(truth, 0) for truth, row in measured.confusion.items())


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1%}"


def _decimal(figure: float | None) -> str:
    return NOTHING if figure is None else f"{figure:.3f}"


def _whole(share: float) -> str:
    return f"{round(share * 100, 1):g}%"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _spaced(name: str) -> str:
    return name.replace("_", " ")


_STYLE: Final = """
:root {
  color-scheme: light dark;
  --desk: #f5f6f8; --paper: #ffffff; --ink: #1b2330; --soft: #5c6878; --rule: #e3e7ec; --band: #f5f7fa;
  --accent: #2457a8; --good: #18794e; --bad: #b42a22; --good-wash: #e9f5ee; --bad-wash: #fcedeb;
}
@media (prefers-color-scheme: dark) {
  :root {
    --desk: #11151a; --paper: #191f27; --ink: #e4e9f0; --soft: #9ba8b7; --rule: #2b343f; --band: #1d242d;
    --accent: #82b1ff; --good: #5fcf94; --bad: #ff8a7d; --good-wash: #14291f; --bad-wash: #331b1a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1240px; padding: 2rem 1.25rem; background: var(--desk); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%; print-color-adjust: exact;
  -webkit-print-color-adjust: exact;
}
h1, h2, h3, p, ul, dl, figure { margin: 0; }
h1 { font-size: 1.75rem; line-height: 1.2; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; }
h3 { font-size: .95rem; margin: 1.5rem 0 .5rem; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.hash { white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); } .same, .soft, .none, .lead, .over { color: var(--soft); }
.over { font-size: .8rem; letter-spacing: .08em; text-transform: uppercase; }
.lead { max-width: 95ch; margin: .15rem 0 1rem; }

.verdict { margin: 1rem 0; padding: 1rem 1.25rem; border-left: 4px solid; border-radius: 4px; color: var(--ink); }
.verdict.good { border-color: var(--good); background: var(--good-wash); }
.verdict.bad { border-color: var(--bad); background: var(--bad-wash); }
.verdict p { font-size: 1.15rem; font-weight: 650; }
.verdict.good p { color: var(--good); } .verdict.bad p { color: var(--bad); }
.verdict ul { padding-left: 1.2rem; margin-top: .35rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(120px, 1fr)); gap: .75rem 1.5rem; }
dt { color: var(--soft); font-size: .8rem; } dd { margin: 0; overflow-wrap: anywhere; }

section {
  margin-top: 1.25rem; padding: 1.25rem 1.5rem 1.5rem; background: var(--paper); border: 1px solid var(--rule);
  border-radius: 8px;
}
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 225px), 1fr)); gap: 1rem; }
.tile { padding: .9rem 1rem; border: 1px solid var(--rule); border-radius: 6px; }
.tile h3 { margin: 0; font-size: .85rem; font-weight: 600; color: var(--soft); }
.figure { white-space: nowrap; color: var(--soft); } .figure strong { font-size: 1.9rem; color: var(--ink); }
.tile .good, .tile .bad { font-weight: 600; } .tile .soft { font-size: .8rem; overflow-wrap: anywhere; }

.pair { display: flex; flex-wrap: wrap; gap: 1.5rem 2rem; }
.pair > figure { flex: 1 1 440px; min-width: min(100%, 340px); }
.wide {
  width: max-content; min-width: 100%; max-width: calc(100vw - 5rem); margin-left: 50%; transform: translateX(-50%);
}
.wide .pair > figure { flex: 0 1 auto; min-width: 0; max-width: 100%; }
figcaption { font-weight: 600; font-size: .95rem; margin-bottom: .5rem; }
.scroll { overflow-x: auto; } .table { max-height: 45rem; overflow-y: auto; }
svg { display: block; } svg.chart { width: 100%; max-width: 560px; height: auto; }
svg text { fill: var(--soft); font-family: inherit; }
text.middle { text-anchor: middle; } text.end { text-anchor: end; }
text.ink { fill: var(--ink); } text.paper { fill: var(--paper); }
.grid, .grid line, .track { stroke: var(--rule); } .axis { stroke: var(--soft); }
.band { fill: var(--band); }
.chosen { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 2 3; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
polyline.first { stroke: var(--accent); } polyline.second { stroke: var(--ink); stroke-dasharray: 5 3; }
.mark.first { fill: var(--accent); } .mark.second { fill: var(--ink); }
.right { fill: var(--accent); } .wrong { fill: var(--bad); } .frame { fill: none; stroke: var(--accent); }
.bar { fill: var(--accent); fill-opacity: .6; } .mean { stroke: var(--ink); stroke-width: 2.5; }
.count { fill: var(--soft); fill-opacity: .45; } .diagonal { stroke: var(--ink); stroke-dasharray: 4 4; }
.track { stroke-width: 4; stroke-linecap: round; } .move { stroke-width: 2.5; }
.move.good, .hollow.good { stroke: var(--good); } .move.bad, .hollow.bad { stroke: var(--bad); }
.full.good { fill: var(--good); } .full.bad { fill: var(--bad); } .full.same { fill: var(--soft); }
.hollow { fill: var(--paper); stroke-width: 2; } .hollow.same { stroke: var(--soft); }

table { border-spacing: 0; width: 100%; font-size: .9rem; }
th { position: sticky; top: 0; background: var(--paper); color: var(--soft); font-weight: 600; font-size: .8rem; }
th, td { padding: .35rem .75rem; text-align: left; border-bottom: 1px solid var(--rule); vertical-align: middle; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--paper); padding-left: 0; }
th:first-child { z-index: 1; } th.number, td.number { text-align: right; }
td b { font-weight: 600; } .number, td > span { white-space: nowrap; }
.tag {
  font-size: .75rem; color: var(--soft); border: 1px solid var(--rule); border-radius: 99px; padding: 0 .5em;
}
details { margin-top: 1rem; } summary { cursor: pointer; color: var(--accent); }
.bars { list-style: none; padding: 0; columns: 3 260px; column-gap: 2.5rem; font-size: .9rem; }
.bars li { display: grid; grid-template-columns: 11rem 1fr 3rem; gap: .5rem; align-items: center; }
.bars span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; } .bars b { font-weight: 400; }
svg.bar { width: 100%; height: 8px; background: var(--band); }
.splits { width: 100%; height: 14px; border-radius: 4px; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; list-style: none; padding: 0; margin-top: .5rem; }
.legend span { display: inline-block; width: .7em; height: .7em; margin-right: .4em; border-radius: 2px; }
.split0 { fill: var(--accent); } .split1 { fill: var(--accent); fill-opacity: .55; }
.split2 { fill: var(--accent); fill-opacity: .25; }
.legend span { background: var(--accent); } .split1 span { opacity: .55; } .split2 span { opacity: .25; }
footer { margin: 1.5rem .25rem; color: var(--soft); font-size: .9rem; }

@media (max-width: 600px) {
  body { padding: 1rem .75rem; } section { padding: 1rem; } h1 { font-size: 1.4rem; }
  dl { grid-template-columns: 1fr 1fr; } .bars li { grid-template-columns: 8.5rem 1fr 2.5rem; }
  svg.chart text { font-size: 12.5px; }
}
@media print {
  @page { margin: 14mm; }
  :root { --desk: #ffffff; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  section { border: 0; padding: 0; margin-top: 1.5rem; }
  h2, h3, .lead, figcaption { break-after: avoid; } figure, .tile, .lead, tr, .verdict { break-inside: avoid; }
  .scroll { overflow: visible; max-height: none; }
  .wide { width: auto; max-width: none; margin-left: 0; transform: none; }
  svg.natural { max-width: 100%; height: auto; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""
