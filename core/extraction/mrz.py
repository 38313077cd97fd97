"""The machine-readable zone of passports and identity cards (ICAO Doc 9303, parts 4 to 6): it says what is what.

On photographs the small print of labels is the first thing to become illegible; the zone is made to be read.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Final

from core.extraction.candidate import Candidate
from core.page import Page
from core.value import read_date

_NAMES: Final = re.compile(r"(?=.{33})([PIACV])[A-Z<][A-Z<]{3}([A-Z]+(?:<[A-Z]+)*)<<([A-Z]+(?:<[A-Z]+)*)<*")
_CARD_NAMES: Final = re.compile(r"([A-Z]+(?:<[A-Z]+)*)<<([A-Z]+(?:<[A-Z]+)*)<+")
_BOOK: Final = re.compile(r"([A-Z0-9<]{9})[0-9O<]([A-Z<]{3})(\d{6})\d([MFX<])(\d{6})\d.*")
"""The second line of passports (44 characters) and of cards of 36."""
_CARD: Final = re.compile(r"(\d{6})\d([MFX<])(\d{6})\d([A-Z<]{3}).*")
"""The second line of cards of three lines of 30."""
_CARD_NUMBER: Final = re.compile(r"[IAC][A-Z<]([A-Z<]{3})([A-Z0-9<]{9})[0-9<].*")
_LABELS: Final = {
    "surname": "surname",
    "given": "given names",
    "number": "document number",
    "nationality": "nationality",
    "birth": "date of birth",
    "sex": "sex",
    "expiry": "date of expiry",
}
_CENTURY: Final = 100


def with_labels(candidates: Iterable[Candidate], pages: Iterable[Page]) -> list[Candidate]:
    """The candidates, those without a label being labelled as the zone says where it holds what they say."""
    zone = _zone(line.text for page in pages for line in page.lines)
    if not zone:
        return list(candidates)
    return [
        replace(candidate, inline=label) if not candidate.inline and (label := _label(candidate, zone)) else candidate
        for candidate in candidates
    ]


def _zone(texts: Iterable[str]) -> dict[str, str]:
    """What the zone says, by field, dates as ISO 8601; empty where there is none."""
    found: dict[str, str] = {}
    for text in texts:
        line = "".join(text.split()).upper()
        if match := _NAMES.fullmatch(line):
            found |= {"surname": match[2], "given": match[3], "kind": match[1]}
        elif match := _BOOK.fullmatch(line):
            number, nationality, birth, sex, expiry = match.groups()
            found |= {"number": number, "nationality": nationality, "sex": sex}
            found |= {"birth": _date(birth, is_past=True), "expiry": _date(expiry, is_past=False)}
        elif match := _CARD.fullmatch(line):
            birth, sex, expiry, nationality = match.groups()
            found |= {"nationality": nationality, "sex": sex}
            found |= {"birth": _date(birth, is_past=True), "expiry": _date(expiry, is_past=False)}
        elif found and (match := _CARD_NAMES.fullmatch(line)):
            found |= {"surname": match[1], "given": match[2]}
        elif "<" in line and (match := _CARD_NUMBER.fullmatch(line)):
            found["number"] = match[2]
    return {name: value for name, value in found.items() if value.strip("<")}


def _date(digits: str, *, is_past: bool) -> str:
    year, month, day = int(digits[:2]), int(digits[2:4]), int(digits[4:])
    # Nobody is born in the future, and no document is valid for longer than some decades.
    is_new = year <= date.today().year % _CENTURY if is_past else year < _CENTURY / 2
    try:
        return date(year + (2000 if is_new else 1900), month, day).isoformat()
    except ValueError:
        return ""


def _label(candidate: Candidate, zone: dict[str, str]) -> str | None:
    if "<" in candidate.text:
        return None
    plain = _plain(candidate.text)
    for name, value in zone.items():
        if name == "kind":
            continue
        if name in {"birth", "expiry"}:
            if "date" in candidate.kinds and value in {day.isoformat() for day in read_date(candidate.text)}:
                return _LABELS[name]
        elif plain == _plain(value):
            return "passport number" if name == "number" and zone.get("kind") == "P" else _LABELS[name]
    return None


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text.upper())
