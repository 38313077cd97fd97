"""Answer-type checks: which candidates can be an answer of the kind that is asked for at all."""

import re
from collections.abc import Callable
from typing import Final

from core.extraction.candidate import Candidate
from core.question import Expected
from core.value import read_integer, read_period

_VALUES: Final = frozenset({"date", "time", "amount", "phone", "percent", "email", "url"})
_LONGEST_DATE: Final = 40
"""Characters."""
_PHONE_DIGITS: Final = 6
_CODE: Final = re.compile(r"[A-Z]{1,6}")


def fits(candidate: Candidate, expected: Expected) -> bool:
    """Whether the candidate's text looks like what is asked for; anything is a text."""
    return _CHECKS[expected](candidate)


def _date(candidate: Candidate) -> bool:
    text = candidate.text
    return "date" in candidate.kinds or (
        len(text) <= _LONGEST_DATE and _digits(text) > 0 and read_period(text) is not None
    )


def _number(candidate: Candidate) -> bool:
    return _digits(candidate.text) > 0 or read_integer(candidate.text) is not None


def _identifier(candidate: Candidate) -> bool:
    text = candidate.text
    if candidate.kinds & {"date", "time", "email", "url"} or len(text.split()) > 7:
        return False
    return _digits(text) > 0 or _CODE.fullmatch(text) is not None


def _name(candidate: Candidate) -> bool:
    text = candidate.text
    letters = sum(map(str.isalpha, text))
    return letters >= 2 and letters > 2 * _digits(text) and not candidate.kinds & _VALUES and len(text.split()) <= 12


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))


_CHECKS: Final[dict[Expected, Callable[[Candidate], bool]]] = {
    "date": _date,
    "time": lambda candidate: "time" in candidate.kinds,
    "amount": lambda candidate: bool(candidate.kinds & {"amount", "number"}),
    "number": _number,
    "percent": lambda candidate: bool(candidate.kinds & {"percent", "number"}),
    "identifier": _identifier,
    "person": _name,
    "organisation": _name,
    "address": lambda candidate: sum(map(str.isalpha, candidate.text)) >= 2 and not candidate.kinds & _VALUES,
    "country": _name,
    "phone": lambda candidate: "phone" in candidate.kinds or _digits(candidate.text) >= _PHONE_DIGITS,
    "email": lambda candidate: "email" in candidate.kinds,
    "url": lambda candidate: bool(candidate.kinds & {"url", "email"}),
    "text": lambda _candidate: True,
}
