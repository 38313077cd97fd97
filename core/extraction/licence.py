"""The numbers that stand for labels on driving licences: ISO/IEC 18013-1, as used in Europe and North America."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from core.extraction.candidate import Candidate
from core.extraction.layout import NONE, Layout

_LICENCE: Final = re.compile(
    r"driv\w*'?s?\s*licen[cs]e|permis\s*de\s*conduire|f[uü]hrerschein|permiso\s*de\s*conduc|patente\s*di\s*guida|"
    r"rijbewijs|carta\s*de\s*condu|driving\s*licence|carteira\s*nacional",
    re.IGNORECASE,
)
_CODE: Final = re.compile(r"\W*(\d{1,2}(?:[a-d](?![a-z]))?)[\s.,):]*", re.IGNORECASE)
_LABELS: Final = {
    "1": "surname",
    "2": "given names",
    "3": "date of birth",
    "4a": "date of issue",
    "4b": "date of expiry",
    "4c": "issuing authority",
    "4d": "licence number",
    "5": "licence number",
    "8": "address",
    "9": "licence class",
    "15": "sex",
    "16": "height",
    "17": "weight",
    "18": "eye colour",
    "19": "hair colour",
}


def with_labels(candidates: Sequence[Candidate], layouts: Sequence[Layout]) -> list[Candidate]:
    """The candidates of a driving licence, those behind a number being labelled with what it stands for."""
    if not any(_LICENCE.search(line.text) for layout in layouts for line in layout.page.lines):
        return list(candidates)
    # In North America 5 is the card's own number, and the licence's is 4d.
    codes = {_code(candidate, layouts[candidate.layout]) for candidate in candidates}
    labels = {code: label for code, label in _LABELS.items() if code != "5" or "4d" not in codes}
    return list(_labelled(candidates, layouts, labels))


def _labelled(
    candidates: Iterable[Candidate], layouts: Sequence[Layout], labels: dict[str, str]
) -> Iterable[Candidate]:
    for candidate in candidates:
        label = labels.get(_code(candidate, layouts[candidate.layout]))
        yield candidate if label is None else replace(candidate, inline=label)


def _code(candidate: Candidate, layout: Layout) -> str:
    """The number that begins a candidate's line, all the rest of which it is, or that stands to its left."""
    line = layout.page.lines[candidate.lines[0]].text
    match = _CODE.match(line)
    if match and line[match.end() :].strip() == candidate.text.split("\n")[0]:
        return match[1].lower()
    left = layout.left[candidate.lines[0]]
    if left == NONE or candidate.form not in {"line", "block"}:
        return ""
    match = _CODE.fullmatch(layout.page.lines[left].text)
    return match[1].lower() if match else ""
