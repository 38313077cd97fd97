"""Where an answer that a model generated stands on the pages, as the reader read them."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.contract.answer import AmountValue, Evidence
from core.page import Line, Page
from core.value import Mention, find_values, read_amount, read_date

_MOST_LINES: Final = 4
_LEAST_APPROXIMATED: Final = 5
"""Letters and digits. A shorter text resembles too many others."""
_LETTERS_AN_ERROR: Final = 6
_COST_OF_DIGIT: Final = 100
"""One letter read otherwise is an error of the reader; one digit is another number."""
_LOOKALIKES: Final = str.maketrans("01i", "oll")
_VALUE_SHARE: Final = 0.6
"""What a date or an amount must take of an answer for the answer to be that."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Location:
    """A place on the pages: `text` is the answer as printed there, or the answer itself where the reader read the
    print a little otherwise; `evidence` are the lines, in reading order.
    """

    text: str
    evidence: tuple[Evidence, ...]


def locate(answer: str, pages: Sequence[Page]) -> Location | None:
    """The first place that prints the answer: letter for letter, else but for case, spaces and punctuation, else the
    same date or amount in another way of writing, else nearly, over up to four lines of a column or row; None where
    no place does.
    """
    answer = answer.strip()
    plain = _plain(answer)[0]
    if not plain:
        return None
    return (
        _in_a_line(pages, lambda text: _exactly(answer, text))
        or _in_a_line(pages, lambda text: _plainly(plain, text))
        or _in_a_line(pages, _same_value(answer))
        or _nearly(answer, plain, pages)
    )


def _in_a_line(pages: Sequence[Page], find: Callable[[str], Span | None]) -> Location | None:
    """The first line of which `find` gives a span; a line that is nothing else comes before all others."""
    found = None
    for page in pages:
        for line in page.lines:
            if (span := find(line.text)) is None:
                continue
            location = Location(line.text[slice(*span)], (_evidence(page, line),))
            if len(location.text) == len(line.text.strip()):
                return location
            found = found or location
    return found


def _evidence(page: Page, line: Line) -> Evidence:
    return Evidence(page=page.number, box=line.box, text=line.text)


def _exactly(answer: str, text: str) -> Span | None:
    start = text.find(answer)
    while start >= 0:
        if _stands_alone(text, start, start + len(answer)):
            return start, start + len(answer)
        start = text.find(answer, start + 1)
    return None


def _plainly(plain: str, text: str) -> Span | None:
    line, places = _plain(text)
    start = line.find(plain)
    while start >= 0:
        first, last = places[start], places[start + len(plain) - 1] + 1
        if _stands_alone(text, first, last):
            return first, last
        start = line.find(plain, start + 1)
    return None


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether neither a word nor a number goes on beyond the span: `3.40` is not in `13.40`, nor `3` in `3.40`."""
    before, after = text[max(start - 2, 0) : start], text[end : end + 2]
    return not (_goes_on(text[start], before[::-1]) or _goes_on(text[end - 1], after))


def _goes_on(edge: str, beyond: str) -> bool:
    if edge.isdigit():
        return beyond[:1].isdigit() or (beyond[:1] in (".", ",") and beyond[1:].isdigit())
    return edge.isalpha() and beyond[:1].isalpha()


def _plain(text: str) -> tuple[str, list[int]]:
    """Letters and digits alone, without case and accents, and where in the text each stands.

    Between digits one mark is left, so that 1.23 is not 12.3, nor 1/12 the same as 11/2.
    """
    chars: list[str] = []
    places: list[int] = []
    gap = ""
    for place, char in enumerate(text):
        base = unicodedata.normalize("NFKD", char)[0].casefold()[:1]
        if not base.isalnum():
            gap += char
            continue
        if gap and base.isdigit() and chars and chars[-1].isdigit():
            mark = next((mark for mark in gap if mark in ".,"), " ")
            chars.append(mark)
            places.append(place - 1)
        chars.append(base)
        places.append(place)
        gap = ""
    return "".join(chars), places


def _same_value(answer: str) -> Callable[[str], Span | None]:
    """Finds the date or the amount that the answer is."""
    wanted = [
        key
        for mention in find_values(answer)
        if len(mention.text) >= _VALUE_SHARE * len(answer) and (key := _value(mention))
    ][:1]

    def find(text: str) -> Span | None:
        for mention in find_values(text) if wanted else ():
            if (value := _value(mention)) and _agree(wanted[0], value):
                return mention.start, mention.end
        return None

    return find


def _value(mention: Mention) -> list[date] | AmountValue | None:
    if mention.kind == "date":
        return read_date(mention.text) or None
    return read_amount(mention.text) if mention.kind in ("amount", "number") else None


def _agree(wanted: list[date] | AmountValue, value: list[date] | AmountValue) -> bool:
    if isinstance(wanted, AmountValue) and isinstance(value, AmountValue):
        return wanted.amount == value.amount and (wanted.currency or value.currency) == (
            value.currency or wanted.currency
        )
    return isinstance(wanted, list) and isinstance(value, list) and wanted[0] in value


def _nearly(answer: str, plain: str, pages: Sequence[Page]) -> Location | None:
    """Where the answer stands with the fewest letters read otherwise, at most one in _LETTERS_AN_ERROR."""
    if len(plain) < _LEAST_APPROXIMATED:
        return None
    least = sum(map(str.isalpha, plain)) // _LETTERS_AN_ERROR + 1
    found = None
    for page in pages:
        for lines in (page.lines, _by_column(page.lines)):
            whole = "\n".join(line.text for line in lines)
            text, places = _plain(whole)
            cost, start, end = _nearest(plain, text)
            if cost >= least or start == end:
                continue
            first, last = places[start], places[end - 1] + 1
            above, through = whole.count("\n", 0, first), whole.count("\n", 0, last)
            if through - above >= _MOST_LINES or not _stands_alone(whole, first, last):
                continue
            least = cost
            printed = " ".join(whole[first:last].split()) if text[start:end] == plain else answer
            found = Location(printed, tuple(_evidence(page, line) for line in lines[above : through + 1]))
    return found


def _by_column(lines: Sequence[Line]) -> list[Line]:
    """Down one column after the other: a line goes on with the one below that it shares most of its width with."""
    columns: list[list[Line]] = []
    for line in lines:
        above = [column for column in columns if _is_below(line, column[-1])]
        if above:
            max(above, key=lambda column: column[-1].box[3]).append(line)
        else:
            columns.append([line])
    return [line for column in columns for line in column]


def _is_below(line: Line, other: Line) -> bool:
    shared = min(line.box[2], other.box[2]) - max(line.box[0], other.box[0])
    narrower = min(line.box[2] - line.box[0], other.box[2] - other.box[0])
    return shared > narrower / 2 and line.box[1] + line.box[3] > other.box[1] + other.box[3]


def _nearest(wanted: str, text: str) -> tuple[int, int, int]:
    """The piece of the text that differs least: what the differences cost, and its span."""
    costs = _costs(wanted, text)
    end = int(costs.argmin())
    start = end - int(_costs(wanted[::-1], text[:end][::-1]).argmin())
    return int(costs[end]), start, end


def _costs(wanted: str, text: str) -> NDArray[np.int64]:
    """(len(text) + 1,): the least edit cost of turning any piece of the text that ends there into `wanted`."""
    codes, weights = np.array([ord(char) for char in text.translate(_LOOKALIKES)], np.int64), _weights(text)
    inserted = np.concatenate(([0], np.cumsum(weights)))
    costs = np.zeros(len(text) + 1, np.int64)
    for char, weight in zip(wanted.translate(_LOOKALIKES), _weights(wanted), strict=True):
        replaced = costs[:-1] + np.where(codes == ord(char), 0, np.maximum(weights, weight))
        costs = costs + weight
        costs[1:] = np.minimum(costs[1:], replaced)
        costs = np.minimum.accumulate(costs - inserted) + inserted
    return costs


def _weights(text: str) -> NDArray[np.int64]:
    return np.array([1 if char.isalpha() else _COST_OF_DIGIT for char in text], np.int64)
