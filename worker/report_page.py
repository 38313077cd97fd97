"""A report as one HTML page that needs nothing else."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Final

from core import web_page
from core.web_page import Shown, counted, percent
from worker.report import Made, Report

_HEIGHT, _TOP, _BOTTOM = 226, 34, 206
"""Of a chart over time, and of its plot."""
_NAMED: Final = 250
"""Height of one whose other axis has to be named."""
_STAGES: Final = {
    "classes": "look up classes",
    "fetch": "fetch the document",
    "lookup": "look up what is known",
    "read": "read pages",
    "render": "render pages",
    "prepare": "prepare for the model",
    "encode": "model",
    "store": "store",
    "decide": "decide",
    "ask": "answer questions",
}
_STATES: Final = {
    "active": '<span class="good">in service</span>',
    "retired": "served before",
    "candidate": "could serve",
    "rejected": '<span class="bad">rejected</span>',
}


def to_html(report: Report) -> str:
    """The whole page. It holds class names and figures, and nothing of what documents say."""
    errors = sum(item.wrong for item in report.labelled)
    sections = [
        web_page.section("In short", "", _tiles(report)),
        web_page.section(
            f"What came in, by the {report.period}",
            "Documents that this class set was asked about, and how sure it was. Days are those of UTC.",
            _volumes(report),
        ),
        web_page.section(
            "What it was taken for",
            "Each class's share of the documents; every line has a scale of its own, and each point is the mean of "
            "seven. A share that drifts means other mail than before, or a class that is no longer told as it was.",
            _classes(report),
        ),
        web_page.section(
            "Where to send documents to people",
            "What another least confidence (<code>deciding.thresholds</code>) would do: how many documents people "
            "would look at, and how many of the errors they would see. Errors are known from corrections alone: "
            "of what nobody looked at none is known, so have people confirm a sample of the rest too.",
            _thresholds(report, errors),
        ),
        web_page.section(
            "How long it took",
            "How long messages waited whose senders said when they sent them, and what jobs spent their time on. "
            "Of all class sets and kinds of task.",
            _times(report),
        ),
        web_page.section("What had no result", "Of all class sets and kinds of task.", _errors(report)),
        web_page.section(
            "What was learned",
            "Every checkpoint of the class set, by macro accuracy on documents that were held out. Those of "
            "different days were not judged by the same documents.",
            _checkpoints(report),
        ),
    ]
    title = f"{report.class_set}: {report.since:%-d %B %Y} to {report.until:%-d %B %Y}"
    version = f"version {report.version} in service" if report.version else "no version in service"
    head = (
        f'<header><p class="over">docintake report</p><h1>{escape(title)}</h1>'
        f'<p class="soft">{version}; made {report.until:%-d %B %Y, %H:%M} UTC</p></header>'
    )
    return web_page.page(title, head, sections, "<footer></footer>")


def _tiles(report: Report) -> str:
    serving = [item for item in report.checkpoints if item.state == "active"]
    ended = report.documents + sum(period.rejected + period.failed for period in report.periods)
    without = ended - report.documents
    labelled = sum(item.right + item.wrong for item in report.labelled)
    wrong = sum(item.wrong for item in report.labelled)
    worst = max((wait.p95 for wait in report.waits), default=None)
    tiles = [
        ("Documents", f"{report.documents:,}", f"over {counted(len(report.periods), report.period)}"),
        (
            "Sent to people",
            percent(report.to_review / report.documents if report.documents else None),
            f"{report.to_review:,} of them",
        ),
        ("Without a result", f"{without:,}", "jobs that were rejected or failed"),
        (
            "People's word",
            f"{labelled:,}",
            f"documents labelled, {wrong:,} of them had been taken for something else",
        ),
        (
            f"Worst {report.period}'s wait",
            web_page.NOTHING if worst is None else _seconds(worst),
            "95 of 100 messages waited less",
        ),
        (
            "Decides now",
            f"checkpoint {'+'.join(str(item.id) for item in serving)}" if serving else "descriptions",
            f"macro accuracy {percent(serving[-1].after)}" if serving else "nothing learned is in service",
        ),
    ]
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><h3>{name}</h3><p class="figure"><strong>{figure}</strong></p>'
            f'<p class="soft">{remark}</p></div>'
            for name, figure, remark in tiles
        )
        + "</div>"
    )


def _volumes(report: Report) -> str:
    if not report.documents:
        return web_page.none("Nothing was classified by this class set in this time.")
    lines = {
        "mean confidence": [period.confidence for period in report.periods],
        "sent to people": [
            period.to_review / period.documents if period.documents else None for period in report.periods
        ],
    }
    reasons = "".join(
        f"<li><span>{escape(reason.replace('_', ' '))}</span>{web_page.bar(0, count / report.to_review)}"
        f"<b>{count:,}</b></li>"
        for reason, count in report.reasons.items()
    )
    return web_page.pair(
        web_page.figure("Documents", _bars(report)),
        web_page.figure("Confidence, and the share sent to people", _curves(report, lines, percent)),
    ) + (f'<h3>Why they were sent to people</h3><ul class="bars">{reasons}</ul>' if reasons else "")


def _bars(report: Report) -> str:
    """Documents by period: those that were decided below, those for people on top."""
    most = max(period.documents for period in report.periods)
    ticks = web_page.ticks(0, most, _count)
    y = web_page.scale((0, ticks[-1]), (_BOTTOM, _TOP))
    step = _step(report)
    parts = web_page.y_axis("documents", ticks, y, _count)
    for place, period in enumerate(report.periods):
        decided = period.documents - period.to_review
        x, width = web_page.LEFT + place * step + 0.1 * step, 0.8 * step
        said = f"{_day(period.start)}: {period.documents:,} documents, {period.to_review:,} of them for people"
        parts.append(
            f"<g><title>{said}</title>{web_page.box('bar', x, y(decided), width, _BOTTOM - y(decided))}"
            f"{web_page.box('review', x, y(period.documents), width, y(decided) - y(period.documents))}</g>"
        )
    legend = [
        (web_page.box("bar", -5, -5, 10, 10), "decided"),
        (web_page.box("review", -5, -5, 10, 10), "for people"),
    ]
    parts += [*_x_axis(report), *web_page.legend(legend)]
    return web_page.svg(web_page.WIDTH, _HEIGHT, "documents by time", parts)


def _curves(report: Report, lines: Mapping[str, Sequence[float | None]], shown: Shown) -> str:
    """Two lines over time, on a scale of shares."""
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    y = web_page.scale((0, 1), (_BOTTOM, _TOP))
    parts = web_page.y_axis("share", ticks, y, shown)
    for kind, (name, line) in zip(("first", "second"), lines.items(), strict=True):
        parts += _curve(report, kind, name, line, y, shown)
    legend = [(web_page.mark(kind, 0, 0), name) for kind, name in zip(("first", "second"), lines, strict=True)]
    parts += [*_x_axis(report), *web_page.legend(legend)]
    return web_page.svg(web_page.WIDTH, _HEIGHT, f"{' and '.join(lines)} by time", parts)


def _curve(
    report: Report, kind: str, name: str, line: Sequence[float | None], y: web_page.Scale, shown: Shown
) -> list[str]:
    step = _step(report)
    points = [
        (web_page.LEFT + (place + 0.5) * step, y(value), f"{name}, {_day(period.start)}: {shown(value)}")
        for place, (period, value) in enumerate(zip(report.periods, line, strict=True))
        if value is not None
    ]
    path = " ".join(f"{x:.1f},{height:.1f}" for x, height, _ in points)
    # Marks would hide a long line: then they only speak.
    marks = "faint" if len(points) > 40 else kind
    return [
        f'<polyline class="{kind}" points="{path}"/>',
        *(web_page.mark(marks, x, height, said) for x, height, said in points),
    ]


def _classes(report: Report) -> str:
    if not report.classes:
        return web_page.none("Nothing was classified by this class set in this time.")
    third = max(1, len(report.periods) // 3)
    rows = []
    for item in report.classes:
        before, now = _mean(item.shares[:third]), _mean(item.shares[-third:])
        rows.append(
            [
                escape(item.name.replace("_", " ")),
                f"{item.documents:,}",
                percent(item.documents / report.documents),
                _spark(item.shares),
                percent(before),
                percent(now),
                percent(item.to_review / item.documents),
            ]
        )
    head = ["class", "documents", "share", "over time", "first third", "last third", "of them for people"]
    return web_page.table(head, rows, (1, 2, 4, 5, 6))


def _spark(shares: Sequence[float | None]) -> str:
    around = [_mean(shares[max(0, place - 3) : place + 4]) for place in range(len(shares))]
    known = [(place, share) for place, share in enumerate(around) if share is not None]
    most = max(share for _, share in known)
    x, y = web_page.scale((0, max(1, len(shares) - 1)), (2, 218)), web_page.scale((0, most or 1), (22, 3))
    path = " ".join(f"{x(place):.1f},{y(share):.1f}" for place, share in known)
    parts = [web_page.line("track", 2, 22, 218, 22), f'<polyline class="first thin" points="{path}"/>']
    return web_page.svg(220, 24, f"share over time, {percent(most)} at most", parts, "natural")


def _thresholds(report: Report, errors: int) -> str:
    if not report.thresholds:
        return web_page.none("Nothing was classified by this class set in this time.")
    if not errors:
        return web_page.none(
            "No error is known: nobody has corrected a document of this class set in this time. "
            "`docintake correct`, or IntakeClient's `correct`, says what a document really is."
        )
    rows = [
        [
            f"<b>{percent(item.confidence)}, now</b>"
            if _is_now(report, item.confidence)
            else percent(item.confidence),
            percent(item.to_review),
            percent(item.errors_caught),
            f"{round(item.to_review * report.documents):,}",
            f"{round((1 - (item.errors_caught or 0)) * errors):,}",
        ]
        for item in report.thresholds[:-1]
        if round(item.confidence * 100) % 10 == 0 or _is_now(report, item.confidence)
    ]
    head = ["least confidence", "documents for people", "known errors caught", "documents", "errors missed"]
    return web_page.pair(
        web_page.figure("What people would look at, and the errors they would see", _trade(report)),
        web_page.figure("Confidence of what people have looked at", _right_and_wrong(report)),
    ) + web_page.table(head, rows, range(1, 5))


def _is_now(report: Report, confidence: float) -> bool:
    return math.isclose(confidence, report.threshold, abs_tol=0.001)


def _trade(report: Report) -> str:
    x, y = (
        web_page.scale((0, 1), (web_page.LEFT, web_page.WIDTH - web_page.RIGHT)),
        web_page.scale((0, 1), (_BOTTOM, _TOP)),
    )
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    parts = web_page.y_axis("share", ticks, y, percent)
    parts += [web_page.label(x(tick), _BOTTOM + 15, web_page.whole(tick), "middle") for tick in ticks]
    parts.append(web_page.label((web_page.LEFT + x(1)) / 2, _NAMED - 8, "least confidence", "middle"))
    parts.append(web_page.line("chosen", x(report.threshold), _TOP, x(report.threshold), _BOTTOM))
    lines: dict[str, list[float | None]] = {
        "known errors caught": [item.errors_caught for item in report.thresholds],
        "documents for people": [item.to_review for item in report.thresholds],
    }
    for kind, (name, line) in zip(("first", "second"), lines.items(), strict=True):
        points = [
            (x(item.confidence), y(value), f"at least {percent(item.confidence)}: {percent(value)} {name}")
            for item, value in zip(report.thresholds, line, strict=True)
            if value is not None
        ]
        path = " ".join(f"{left:.1f},{height:.1f}" for left, height, _ in points)
        parts.append(f'<polyline class="{kind}" points="{path}"/>')
        parts += [web_page.mark(kind, left, height, said) for left, height, said in points]
    legend = [(web_page.mark(kind, 0, 0), name) for kind, name in zip(("first", "second"), lines, strict=True)]
    legend.append((web_page.line("chosen", 0, -6, 0, 6), "now"))
    return web_page.svg(web_page.WIDTH, _NAMED, "errors caught by threshold", [*parts, *web_page.legend(legend)])


def _right_and_wrong(report: Report) -> str:
    most = max(item.right + item.wrong for item in report.labelled)
    ticks = web_page.ticks(0, most, _count)
    x = web_page.scale((0, len(report.labelled)), (web_page.LEFT, web_page.WIDTH - web_page.RIGHT))
    y = web_page.scale((0, ticks[-1]), (_BOTTOM, _TOP))
    parts = web_page.y_axis("documents", ticks, y, _count)
    for item in report.labelled:
        left, width, top = x(item.step) + 1, x(1) - x(0) - 2, y(item.right + item.wrong)
        said = f"{item.right:,} right and {item.wrong:,} wrong"
        parts.append(
            f"<g><title>{said}</title>{web_page.box('bar', left, y(item.right), width, _BOTTOM - y(item.right))}"
            f"{web_page.box('wrong', left, top, width, y(item.right) - top)}</g>"
        )
    steps = len(report.labelled)
    parts += [
        web_page.label(x(steps * tick), _BOTTOM + 15, web_page.whole(tick), "middle")
        for tick in (0, 0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    parts.append(web_page.label((web_page.LEFT + x(steps)) / 2, _NAMED - 8, "confidence", "middle"))
    legend = [
        (web_page.box("bar", -5, -5, 10, 10), "was right"),
        (web_page.box("wrong", -5, -5, 10, 10), "was wrong"),
    ]
    return web_page.svg(web_page.WIDTH, _NAMED, "right and wrong by confidence", [*parts, *web_page.legend(legend)])


def _times(report: Report) -> str:
    figures = []
    if report.waits:
        figures.append(web_page.figure("Seconds in the queue", _latency(report)))
    else:
        figures.append(
            web_page.none("No message said when it was sent: IntakeClient does, and others by the header `sent_at`.")
        )
    if report.stages:
        most = sum(stage.total for stage in report.stages)
        several = len({stage.task for stage in report.stages}) > 1
        rows = [
            [
                escape(
                    (f"{stage.task.removeprefix('docintake.')}: " if several else "")
                    + _STAGES.get(stage.stage, stage.stage)
                ),
                _seconds(stage.p50),
                _seconds(stage.p95),
                f"{stage.total / most:.0%}",
                web_page.bar(0, stage.total / most),
            ]
            for stage in report.stages[:12]
        ]
        jobs = max(stage.count for stage in report.stages)
        table = web_page.table(["stage", "half within", "95 of 100 within", "of all time", ""], rows, (1, 2, 3))
        figures.append(web_page.figure(f"Where the time went, in the newest {jobs:,} jobs", table))
    else:
        figures.append(web_page.none("No job has succeeded in this time."))
    return web_page.pair(*figures)


def _latency(report: Report) -> str:
    """On a scale of powers of ten: a wait of seconds and one of hours are both to be seen."""
    waits = {wait.period: wait for wait in report.waits}
    lines = {
        "half within": [waits[period.start].p50 if period.start in waits else None for period in report.periods],
        "95 of 100 within": [waits[period.start].p95 if period.start in waits else None for period in report.periods],
    }
    values = [max(value, 0.001) for line in lines.values() for value in line if value is not None]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 0.01)
    logarithm = web_page.scale((low, max(high, low + 1)), (_BOTTOM, _TOP))

    def y(value: float) -> float:
        return logarithm(math.log10(max(value, 0.001)))

    parts = [web_page.label(11, (_TOP + _BOTTOM) / 2, "seconds", "middle", turned=True)]
    for power in range(low, max(high, low + 1) + 1):
        parts.append(
            web_page.line("grid", web_page.LEFT, logarithm(power), web_page.WIDTH - web_page.RIGHT, logarithm(power))
        )
        parts.append(web_page.label(web_page.LEFT - 6, logarithm(power) + 4, f"{10.0**power:,g}", "end"))
    for kind, (name, line) in zip(("first", "second"), lines.items(), strict=True):
        parts += _curve(report, kind, name, line, y, lambda value: _seconds(value or 0))
    legend = [(web_page.mark(kind, 0, 0), name) for kind, name in zip(("first", "second"), lines, strict=True)]
    parts += [*_x_axis(report), *web_page.legend(legend)]
    return web_page.svg(web_page.WIDTH, _HEIGHT, "seconds in the queue by time", parts)


def _errors(report: Report) -> str:
    if not report.errors:
        return web_page.none("Every job that ended in this time has a result.")
    most = max(count for _, _, count in report.errors)
    rows = [
        [
            f'<span class="{"bad" if state == "failed" else "soft"}">{state}</span>',
            f"<code>{escape(code)}</code>",
            f"{count:,}",
            web_page.bar(0, count / most),
        ]
        for state, code, count in report.errors
    ]
    return web_page.table(["how", "code", "jobs", ""], rows, (2,)) + (
        "<p class=\"soft\">Rejected ones are their senders' to mend, failed ones the operator's: "
        "<code>docintake jobs list --code CODE</code> shows them.</p>"
    )


def _checkpoints(report: Report) -> str:
    if not report.checkpoints:
        return web_page.none(
            "Nothing was learned yet: descriptions alone decide. Labels come from corrections, and "
            "`docintake retrain` or the schedule learns from them."
        )
    rows = [
        [
            f"<b>{item.id}</b>",
            f"{item.made:%Y-%m-%d %H:%M}",
            f"{item.labels:,}",
            percent(item.before),
            percent(item.after),
            _STATES[item.state]
            + (f" since {item.promoted:%Y-%m-%d}" if item.promoted and item.state == "active" else ""),
            escape("; ".join(item.reasons)),
        ]
        for item in reversed(report.checkpoints)
    ]
    head = ["checkpoint", "made (UTC)", "labels", "before", "after", "", "why"]
    judged = [item for item in report.checkpoints if item.after is not None]
    drawn = (
        web_page.figure("Macro accuracy, what served before → with the checkpoint", _learned(judged))
        if judged
        else ""
    )
    return drawn + web_page.table(head, rows, (2, 3, 4))


def _learned(made: Sequence[Made]) -> str:
    """A line from what served before to each checkpoint; hollow: it was not promoted."""
    values = [value for item in made for value in (item.before, item.after) if value is not None]
    ticks = web_page.ticks(min(values), max(values), percent)
    y = web_page.scale((ticks[0], ticks[-1]), (_BOTTOM, _TOP))
    x = web_page.scale((0, len(made)), (web_page.LEFT, web_page.WIDTH - web_page.RIGHT))
    parts = web_page.y_axis("macro accuracy", ticks, y, percent)
    for place, item in enumerate(made):
        if item.after is None:
            continue
        at = x(place + 0.5)
        grade = "same" if item.before is None else "good" if item.after > item.before else "bad"
        said = f"checkpoint {item.id}, {item.made:%Y-%m-%d}: {percent(item.before)} → {percent(item.after)}"
        kind = f"full {grade}" if item.promoted else f"hollow {grade}"
        drawn = f'<circle class="{kind}" cx="{at:.1f}" cy="{y(item.after):.1f}" r="4.5"/>'
        if item.before is not None:
            drawn = web_page.line(f"move {grade}", at, y(item.before), at, y(item.after)) + drawn
        parts.append(f"<g><title>{said}</title>{drawn}</g>")
        parts.append(web_page.label(at, _BOTTOM + 15, str(item.id), "middle"))
    parts.append(web_page.label((web_page.LEFT + x(len(made))) / 2, _NAMED - 8, "checkpoint", "middle"))
    legend = [
        ('<circle class="full good" r="4.5"/>', "promoted"),
        ('<circle class="hollow same" r="4.5"/>', "not promoted"),
    ]
    return web_page.svg(web_page.WIDTH, _NAMED, "checkpoints by macro accuracy", [*parts, *web_page.legend(legend)])


def _x_axis(report: Report) -> list[str]:
    """About six dates."""
    step, count = _step(report), len(report.periods)
    every = max(1, round(count / 6))
    return [
        web_page.label(
            web_page.LEFT + (place + 0.5) * step, _BOTTOM + 15, f"{report.periods[place].start:%-d %b}", "middle"
        )
        for place in range(every // 2, count, every)
    ]


def _step(report: Report) -> float:
    return (web_page.WIDTH - web_page.LEFT - web_page.RIGHT) / len(report.periods)


def _day(start: datetime) -> str:
    return f"{start:%a %-d %b %Y}"


def _mean(shares: Sequence[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else None


def _count(value: float | None) -> str:
    return web_page.NOTHING if value is None else f"{value:,.0f}"


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else web_page.duration(value)
