"""Parts of pages that need nothing else: no script, no other file, no network. Sections, tables, and charts in SVG.

What is given as text is escaped here; what is given as HTML, as table cells are, is its caller's to escape.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Final

NOTHING: Final = "—"
"""Stands for a figure that there is none of."""
LETTER: Final = 0.56
"""Width of a letter on average, in heights of the type."""
TYPE: Final = 11
"""Height of the type in charts. Charts are drawn for the width of a phone, and grow by a third at most."""
WIDTH: Final = 440
LEFT, RIGHT = 52, 18
"""Margins of a chart's plot."""
Shown = Callable[[float | None], str]
"""A figure in words."""
Scale = Callable[[float], float]
"""A figure's place in a chart."""


def page(title: str, head: str, sections: Iterable[str], foot: str) -> str:
    """A page; all but its title is HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{head}\n<main>\n{''.join(sections)}</main>\n{foot}\n</body>\n</html>\n"
    )


def section(name: str, lead: str, body: str, kind: str = "") -> str:
    said = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section class="{kind}"><h2>{name}</h2>{said}{body}</section>\n'


def pair(*figures: str) -> str:
    return f'<div class="pair">{"".join(figures)}</div>'


def figure(caption: str, drawing: str) -> str:
    return f'<figure><figcaption>{caption}</figcaption><div class="scroll">{drawing}</div></figure>'


def none(said: str) -> str:
    return f'<p class="none">{said}</p>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Cells are HTML; those in the columns `numbers` stand to the right. A long one scrolls."""

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = (' class="number"' if column in numbers else "" for column in range(len(row)))
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll table" tabindex="0"><table><thead><tr>{cells("th", head)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def identity(identity: str) -> str:
    """A hash is shortened, a name is not."""
    if re.fullmatch("[0-9a-fA-F]{32,}", identity):
        return f'<code class="hash" title="{identity}">{identity[:12]}…</code>'
    return f"<code>{escape(identity)}</code>"


def bar(start: float, share: float) -> str:
    return f'<svg class="bar" aria-hidden="true"><rect x="{start:.2%}" width="{share:.2%}" height="100%"/></svg>'


def svg(width: float, height: float, label: str, parts: Iterable[str], kind: str = "chart") -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        f'role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def box(kind: str, x: float, y: float, width: float, height: float, opacity: float | None = None) -> str:
    faint = "" if opacity is None else f' fill-opacity="{opacity:.2f}"'
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"{faint}/>'


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def mark(kind: str, x: float, y: float, said: str = "") -> str:
    """A disc for the first line, a square for the second."""
    title = f"<title>{escape(said)}</title>" if said else ""
    if kind == "first":
        return f'<circle class="mark {kind}" cx="{x:.1f}" cy="{y:.1f}" r="3">{title}</circle>'
    return f'<rect class="mark {kind}" x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6">{title}</rect>'


def label(
    x: float, y: float, text: str, kind: str, *, size: float = TYPE, title: str = "", turned: bool = False
) -> str:
    """`turned` reads upwards from (x, y)."""
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    said = f"<title>{escape(title)}</title>" if title else ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}"{turn}>{said}{escape(text)}</text>'


def legend(entries: Iterable[tuple[str, str]]) -> list[str]:
    """Samples, drawn around (0, 0), each with its name, from the left above the plot."""
    parts, x = [], LEFT + 6.0
    for sample, name in entries:
        parts.append(f'<g transform="translate({x:.1f} 12)">{sample}{label(10, 4, name, "start")}</g>')
        x += 34 + len(name) * TYPE * 0.6
    return parts


def y_axis(name: str, ticks: Sequence[float], y: Callable[[float], float], shown: Shown) -> list[str]:
    parts = [label(11, (y(ticks[0]) + y(ticks[-1])) / 2, name, "middle", turned=True)]
    for tick in ticks:
        parts.append(line("grid", LEFT, y(tick), WIDTH - RIGHT, y(tick)))
        parts.append(label(LEFT - 6, y(tick) + 4, whole(tick) if shown is percent else f"{tick:g}", "end"))
    return parts


def ticks(low: float, high: float, shown: Shown) -> list[float]:
    """Round numbers from below `low` to above `high`; shares end at 1."""
    room = max(high - low, 0.05) / 4
    unit = 10.0 ** math.floor(math.log10(room))
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= room)
    first, last = math.floor(low / step + 1e-9), math.ceil(max(high, low + step) / step - 1e-9)
    ticks = [round(place * step, 10) for place in range(first, last + 1)]
    if shown is percent and ticks[-1] > 1:
        ticks = [round(tick - step * round((ticks[-1] - 1) / step), 10) for tick in ticks]
    return ticks


def scale(values: tuple[float, float], places: tuple[float, float]) -> Scale:
    (low, high), (start, end) = values, places
    return lambda value: start + (end - start) * (value - low) / (high - low)


def fitting(text: str, room: float) -> str:
    """As much of a text as has room (in units of the chart)."""
    letters = int(room / TYPE / LETTER)
    return text if len(text) <= letters else f"{text[: max(0, letters - 1)].rstrip()}…"


def percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1%}"


def decimal(figure: float | None) -> str:
    return NOTHING if figure is None else f"{figure:.3f}"


def whole(share: float) -> str:
    return f"{round(share * 100, 1):g}%"


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def spaced(name: str) -> str:
    return name.replace("_", " ")


STYLE: Final = """
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
.review { fill: var(--accent); fill-opacity: .25; }
polyline.thin { stroke-width: 1.3; } .mark.faint { fill-opacity: 0; }
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
