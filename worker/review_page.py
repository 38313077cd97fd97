"""Cases as HTML pages that need nothing else, one a case, and an index: no script, no other file, no network."""

import base64
import io
import re
import shlex
from collections.abc import Sequence
from html import escape
from typing import Final

from PIL import Image

from core.contract import Answer, ClassifyResult
from core.overlay import COLOURS
from core.page import Page
from core.picture import Pixels
from db.queries import OpenCase
from worker.review import Sheet

REASONS: Final = {
    "low_confidence": "No class is likely enough.",
    "small_margin": "Two classes are too close to each other.",
    "out_of_set": "It looks like none of the classes.",
    "blank_page": "There is nothing to read on it.",
    "pages_disagree": "Its pages look like different documents.",
}
_LONGEST_SIDE: Final = 1400
"""Pixels of a page's picture: what is printed on it is still legible."""
_THUMBNAIL: Final = 120
_NOWHERE: Final = "#8a94a3"
"""Colour of an answer that stands on no line."""
_OFFERED: Final = 3
"""Classes whose commands are written out: the most likely ones."""


def name_of(case: OpenCase) -> str:
    """The name of a case's file: its task id as far as that may stand in one."""
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', case.task_id)[:120]}.html"


def to_html(sheet: Sheet, before: OpenCase | None = None, after: OpenCase | None = None) -> str:
    """One case's page. It shows the document: whoever gets the file sees it."""
    case = sheet.case
    links = [
        f'<a href="{escape(name_of(other))}" rel="{which}">{word}</a>'
        for other, which, word in ((before, "prev", "← the one before"), (after, "next", "the next one →"))
        if other is not None
    ]
    panel = [
        f'<p class="over">To be looked at since {_moment(case)}</p>',
        f"<h1>{escape(case.prediction)}?</h1>" if case.prediction else "<h1>What is this?</h1>",
        f'<ul class="reasons">{"".join(f"<li>{_reason(reason)}</li>" for reason in case.reasons)}</ul>',
        _scores(sheet.result),
        _closing(sheet),
        _answers(sheet.answers),
        _classes(sheet),
        _facts(sheet),
    ]
    body = (
        f'<nav><a href="index.html">All cases</a>{"".join(links)}</nav>'
        f'<div class="case"><main>{_pages(sheet)}</main><aside>{"".join(panel)}</aside></div>'
    )
    return _document(f"{case.prediction or 'Unclear'}: {case.external_id or case.task_id}", body)


def thumbnail(sheet: Sheet) -> str:
    """A case's first page, small, as the index shows it; empty where there is none."""
    if not len(sheet.images):
        return ""
    return f'<img src="data:image/jpeg;base64,{_jpeg(sheet.images[0], _THUMBNAIL)}" alt="">'


def index_to_html(cases: Sequence[tuple[OpenCase, str]], in_all: int) -> str:
    """All cases with their thumbnails, linked to their pages; `in_all` are open, of which these may be the first."""
    rows = "".join(
        f'<tr><td class="small"><a href="{escape(name_of(case))}" tabindex="-1">{small}</a></td>'
        f'<td><a href="{escape(name_of(case))}">{escape(case.external_id or case.task_id)}</a></td>'
        f"<td>{_moment(case)}</td><td>{escape(case.prediction or '—')}</td><td>{_bar(case.confidence)}</td>"
        f"<td>{' '.join(map(_reason, case.reasons))}</td>"
        f"<td>{escape(case.claimed_by or '')}</td></tr>"
        for case, small in cases
    )
    shown = f"{len(cases):,} of {in_all:,}" if in_all > len(cases) else f"{in_all:,}"
    table = (
        "<table><thead><tr><th></th><th>Case</th><th>Waiting since</th><th>Looks like</th><th>Sure</th>"
        f"<th>Why a person</th><th>Claimed by</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    body = (
        f'<header><p class="over">Review</p><h1>{shown} open</h1><p class="soft">The longest waiting first. '
        "<code>docintake review next --by YOU</code> claims the first one that nobody else has.</p></header>"
    )
    return _document("Cases to be looked at", body + (table if cases else '<p class="none">Nothing to look at.</p>'))


def _scores(result: ClassifyResult) -> str:
    if not result.probabilities:
        return ""
    rows = "".join(
        f"<li><span>{escape(name)}</span>{_bar(probability)}</li>"
        for name, probability in result.probabilities.items()
    )
    return f'<section><h2>What it may be</h2><ul class="scores">{rows}</ul></section>'


def _closing(sheet: Sheet) -> str:
    """The commands that close it, with the likely classes filled in."""
    task, known = shlex.quote(sheet.case.task_id), {each.name for each in sheet.classes}
    likely = [name for name in sheet.result.probabilities if name in known][:_OFFERED] or ["CLASS"]
    other = f"docintake review dismiss {task} --by YOU --note WHY"
    listed = "".join(
        f"<code>docintake review resolve {escape(task)} <b>{escape(shlex.quote(name))}</b> --by YOU</code>"
        for name in likely
    )
    return (
        f'<section><h2>It is…</h2><div class="commands">{listed}</div><p class="soft">or any other class below; '
        f'where it is none of them:</p><div class="commands"><code>{escape(other)}</code></div></section>'
    )


def _answers(answers: Sequence[Answer]) -> str:
    rows = "".join(
        f'<li><b style="background:{_colour(index) if answer.evidence else _NOWHERE}">{index + 1}</b>'
        f"<span>{escape(answer.question)}<br>"
        f"<strong>{escape(answer.answer or 'not found')}</strong> {_bar(answer.confidence)}</span></li>"
        for index, answer in enumerate(answers)
    )
    return f'<section><h2>What was found on it</h2><ol class="answers">{rows}</ol></section>' if answers else ""


def _classes(sheet: Sheet) -> str:
    rows = "".join(
        f"<dt>{escape(each.name)}</dt><dd>{escape(each.description)}</dd>"
        for each in sorted(sheet.classes, key=lambda each: each.name)
    )
    if not rows:
        return ""
    title = f"The {len(sheet.classes)} classes of {escape(sheet.case.class_set or '')}"
    return f'<section><details><summary>{title}</summary><dl class="classes">{rows}</dl></details></section>'


def _facts(sheet: Sheet) -> str:
    case, result = sheet.case, sheet.result
    facts = {
        "Your id": case.external_id,
        "Tenant": case.tenant,
        "Task": case.task_id,
        "Document": case.document_id,
        "Classes": f"{case.class_set}, version {case.class_set_version}" if case.class_set else "sent along",
        "Pages looked at": f"{len(result.pages)} of {result.document.page_count}",
        "Checkpoint": result.checkpoint or "none: by descriptions alone",
        "Claimed by": case.claimed_by,
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(fact)}</dd>" for name, fact in facts.items() if fact)
    return f'<section><dl class="facts">{rows}</dl></section>'


def _pages(sheet: Sheet) -> str:
    if sheet.missing is not None:
        return f'<p class="none">The document cannot be shown: {escape(sheet.missing)}.</p>'
    by_itself = {page.number: page for page in sheet.result.pages}
    figures = []
    for page, pixels in zip(sheet.pages, sheet.images, strict=True):
        alone = by_itself[page.number]
        said = f": {escape(alone.prediction)} by itself" if alone.prediction and len(sheet.pages) > 1 else ""
        figures.append(
            f'<figure><figcaption>Page {page.number}{said}</figcaption><div class="paper">'
            f'<img src="data:image/jpeg;base64,{_jpeg(pixels, _LONGEST_SIDE)}" alt="Page {page.number}">'
            f"{_boxes(page, sheet.answers)}</div></figure>"
        )
    return "".join(figures)


def _boxes(page: Page, answers: Sequence[Answer]) -> str:
    """Frames around what answers stand on, in the page's own pixels: they grow and shrink with its picture."""
    type_ = max(page.width, page.height) / 55
    drawn = []
    for index, answer in enumerate(answers):
        for line in answer.evidence:
            if line.page == page.number:
                left, top, right, bottom = line.box
                drawn.append(
                    f'<g fill="{_colour(index)}" stroke="{_colour(index)}"><rect x="{left:.0f}" y="{top:.0f}" '
                    f'width="{right - left:.0f}" height="{bottom - top:.0f}" fill-opacity=".12" '
                    f'stroke-width="{type_ / 8:.1f}"/><text x="{right + type_ / 3:.0f}" y="{bottom:.0f}" '
                    f'font-size="{type_:.0f}" stroke="none">{index + 1}</text></g>'
                )
    if not drawn:
        return ""
    return f'<svg viewBox="0 0 {page.width} {page.height}" aria-hidden="true">{"".join(drawn)}</svg>'


def _reason(reason: str) -> str:
    return REASONS.get(reason, escape(reason))


def _jpeg(pixels: Pixels, side: int) -> str:
    image = Image.fromarray(pixels).convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()


def _bar(share: float) -> str:
    return f'<span class="bar"><i style="width:{share:.1%}"></i></span><span class="share">{share:.0%}</span>'


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _moment(case: OpenCase) -> str:
    return f"{case.waiting_since.astimezone():%Y-%m-%d %H:%M}"


def _document(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


_STYLE: Final = """
:root {
  color-scheme: light dark;
  --desk: #eef0f3; --paper: #ffffff; --ink: #1b2330; --soft: #5c6878; --rule: #dfe4ea; --band: #f3f5f8;
  --accent: #2457a8; --wait: #9a5b00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --desk: #11151a; --paper: #191f27; --ink: #e4e9f0; --soft: #9ba8b7; --rule: #2b343f; --band: #11161c;
    --accent: #82b1ff; --wait: #f0b457;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1500px; padding: 1.25rem; background: var(--desk); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}
h1, h2, p, ul, ol, dl, dd, figure { margin: 0; }
h1 { font-size: 1.7rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: .8rem; letter-spacing: .06em; text-transform: uppercase; color: var(--soft); margin-bottom: .5rem; }
ul, ol { list-style: none; padding: 0; }
a { color: var(--accent); }
nav { display: flex; gap: 1.5rem; margin-bottom: 1rem; }
nav a:first-child { margin-right: auto; }
code { font: .88em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.over { font-size: .8rem; color: var(--soft); }
.soft, .none { color: var(--soft); }
.none { padding: 3rem 1.5rem; text-align: center; background: var(--paper); border-radius: 6px; }
.case { display: grid; grid-template-columns: minmax(0, 1fr) 27rem; gap: 1.5rem; align-items: start; }
main { display: grid; gap: 1.25rem; }
aside {
  position: sticky; top: 1.25rem; max-height: calc(100vh - 2.5rem); overflow: auto; padding: 1.5rem;
  background: var(--paper); border-radius: 6px; box-shadow: 0 1px 3px #0002;
}
section { margin-top: 1.5rem; }
figcaption { color: var(--soft); margin-bottom: .35rem; }
.paper { position: relative; background: #fff; box-shadow: 0 1px 4px #0003; }
.paper img { display: block; width: 100%; }
.paper svg { position: absolute; inset: 0; width: 100%; height: 100%; font-weight: 700; }
.reasons { margin-top: .5rem; color: var(--wait); }
.scores li {
  display: grid; grid-template-columns: 9.5rem 1fr 3rem; gap: .6rem; align-items: center; padding: .15rem 0;
}
.scores li > span:first-child { overflow-wrap: anywhere; line-height: 1.25; }
.bar {
  display: inline-block; width: 100%; height: .6rem; border-radius: 3px; background: var(--rule); overflow: hidden;
}
.bar i { display: block; height: 100%; background: var(--accent); }
.share { text-align: right; color: var(--soft); }
.commands code {
  display: block; padding: .45rem .6rem; margin: .3rem 0; background: var(--band); border: 1px solid var(--rule);
  border-radius: 4px; user-select: all; cursor: copy;
}
.answers li { display: flex; gap: .6rem; margin-bottom: .6rem; }
.commands b { color: var(--accent); }
.answers b {
  flex: none; width: 1.5rem; height: 1.5rem; border-radius: 4px; color: #fff; text-align: center; line-height: 1.5rem;
}
.answers > li > span { flex: 1; }
.answers .bar { width: 5rem; margin: 0 .4rem; }
summary { cursor: pointer; color: var(--accent); }
.classes dt { font-weight: 600; margin-top: .6rem; }
.classes dd { color: var(--soft); }
.facts { display: grid; grid-template-columns: auto 1fr; gap: .2rem 1rem; font-size: .87rem; }
.facts dt { color: var(--soft); }
.facts dd { overflow-wrap: anywhere; }
header { margin-bottom: 1.25rem; }
table { width: 100%; border-collapse: collapse; background: var(--paper); border-radius: 6px; overflow: hidden; }
th, td { padding: .55rem .8rem; text-align: left; border-bottom: 1px solid var(--rule); vertical-align: middle; }
th { font-size: .8rem; color: var(--soft); background: var(--band); }
.small { width: 6rem; }
.small img { display: block; max-width: 5rem; max-height: 5rem; box-shadow: 0 1px 3px #0003; }
td .bar { width: 5rem; margin-right: .5rem; }
@media (max-width: 900px) {
  .case { grid-template-columns: 1fr; }
  aside { position: static; max-height: none; order: -1; }
}
@media print { nav, .commands { display: none; } aside { position: static; max-height: none; } }
"""
