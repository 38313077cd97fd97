"""Counting questions: pages, words, rows of a table, or a count that is printed."""

import re
from collections.abc import Callable, Iterator, Sequence
from statistics import median, median_high
from typing import Final

from core.answer import not_found
from core.contract.answer import Answer, Evidence, IntegerValue
from core.page import Line, Page
from core.phrase import Phrase
from core.question import Question
from core.value import find_values, read_integer

Cell = tuple[Page, Line]
Row = list[Cell]
"""Lines that stand side by side, from left to right."""

KNOWN: Final = 0.99
PRINTED: Final = 0.85
TABLE: Final = 0.5
ABSENT: Final = 0.6

_PAGES: Final = re.compile(r"(?:pages?|sheets?|seiten|páginas?)\b")
_TIMES: Final = re.compile(
    r"(?:times|fois|veces) (?:(?:does|do|is|are|was) )?(?:the )?(?:(?:words?|names?|phrase|term) )?(?P<phrase>.+?)"
    r"(?: (?:appears?|mentioned|occurs?|used|written|found|repeated|listed|shown|printed|included)\b.*)?"
)
_ITEMS: Final = re.compile(
    r"(?:(?:line|receipt|invoice|purchased?|ordered|billed|distinct|food|table) )*"
    r"(?P<noun>items?|products?|articles?|goods|positions?|entries|rows?|lines?|things|transactions?|artikel|positionen"
    r"|artículos?|productos?|produits?)\b(?P<rest>.*)"
)
# What may follow `items` and leaves it at all of them.
_ALL: Final = re.compile(
    r"(?:\s(?:bought|buy|purchased|ordered|order|sold|billed|on|in|the|this|of|table|list|were|was|listed|for|from|by"
    r"|customer|contain|contained|included|shown|charged|receipt|invoice|bill|order))*"
)
_BOUGHT: Final = re.compile(
    r"(?P<goods>.+?) (?:(?:were|was|have been) )?(?:ordered|bought|purchased|sold|served|delivered|billed)\b.*"
)
_NUMBER: Final = r"(?P<number>\d{1,3}(?:,\d{3})+|\d{1,9})"
_SOLD: Final = (
    r"(?:(?:total|no\.?|number|nbr|\#|count|qty|quantity)\s?(?:of\s)?)*(?:line\s)?(?:{noun})"
    r"(?:\s?(?:sold|purchased|bought|count|qty|total|in\stotal))*\s?(?:\(s\))?"
)
_HEADER: Final = re.compile(
    r"\b(?:descri\w+|items?|articles?|products?|qty|quantity|price|amount|unit|total|date|details|particulars|debit"
    r"|credit|balance|rate|hours|menge|artikel\S*|produkt|preis|einzelpreis|bezeichnung|betrag|désignation|quantité"
    r"|prix|montant|descripción|cantidad|precio|importe|descrizione|quantità|prezzo|importo|omschrijving|aantal"
    r"|prijs)\b",
    re.IGNORECASE,
)
# A gift card, an oil change or a travel net is no total.
_TOTALS: Final = re.compile(
    r"""\W*(?:(?:[^\W\d]+\s)?(?:sub\s?-?total\w*|totals?|tax(?:es)?|vat|gst|hst|mwst|igst|tva|iva|btw|balance)
      | net|gross|amount\ due|change|cash|visa|mastercard|card|tender\w*|tip|gratuity|rounding|discount|savings|coupon
      | shipping|due|sum|summe|gesamt\w*|zwischensumme|netto|brutto|importe|totale|montant|pay[eé]|paid|payment
      | service\ charge)\b
      | .*[合小]計""",
    re.IGNORECASE | re.VERBOSE,
)
_BALANCES: Final = re.compile(r"\b(?:balance|opening|closing|brought forward|previous)\b", re.IGNORECASE)
_ALIGNED: Final = 0.05
"""Of the page's width: how far the right edges of one column's amounts stand apart."""


def count(
    question: Question, pages: Sequence[Page], page_count: int, extract: Callable[[Question], Answer]
) -> Answer:
    """How many there are of what the question names, or `not_found`.

    `page_count` is the whole document's; `extract` answers an extraction question from the pages.
    """
    things = question.subject
    if _PAGES.fullmatch(things):
        return _answered(question, page_count, [], KNOWN)
    if match := _TIMES.fullmatch(things):
        found = list(Phrase(match["phrase"]).on(pages))
        lines = [(page, line) for page, line, _ in found]
        return _answered(question, sum(times for *_, times in found), lines, PRINTED if found else ABSENT)
    if (match := _ITEMS.fullmatch(things)) and _ALL.fullmatch(match["rest"]):
        noun, others = match["noun"], ""
    else:
        noun, _, others = things.partition(" ")
    bought = _BOUGHT.fullmatch(things)
    if printed := (bought and _quantity(bought["goods"], pages)) or _printed(noun, others, pages):
        return _answered(question, *printed, PRINTED)
    if not match:
        return _extracted(question, extract)
    rows = _table(pages, is_dated=noun.startswith("transaction"))
    if not rows:
        return not_found(question, ABSENT)
    return _answered(question, len(rows), [max(row, key=_letters) for row in rows], TABLE)


def _answered(question: Question, number: int, lines: Sequence[Cell], confidence: float) -> Answer:
    return Answer(
        question=question.text,
        kind=question.kind,
        status="answered",
        answer=str(number),
        value=IntegerValue(integer=number),
        confidence=confidence,
        evidence=[Evidence(page=page.number, box=line.box, text=line.text) for page, line in lines],
    )


def _extracted(question: Question, extract: Callable[[Question], Answer]) -> Answer:
    subject = f"number of {question.subject}"
    found = extract(Question(question.text, "extraction", "number", subject))
    number = read_integer(found.answer) if found.answer else None
    if number is None or number < 0:
        return not_found(question, found.confidence if found.status == "not_found" else ABSENT)
    return found.model_copy(update={"kind": question.kind, "value": IntegerValue(integer=number)})


def _printed(noun: str, others: str, pages: Sequence[Page]) -> tuple[int, list[Cell]] | None:
    """A count that is printed beside its noun: `ITEM COUNT 7`, `Guests: 4`, `3 passengers`.

    `others` are words that its line must hold as well.
    """
    singular = re.escape(noun.removesuffix("s"))
    label = _SOLD.format(noun=rf"{singular}\w{{0,2}}")
    before = re.compile(rf"\W*{label}\s?[:=.#]?\s?{_NUMBER}\W*", re.IGNORECASE)
    after = re.compile(rf"(?:.*[^\w.,$€£-])?{_NUMBER}\s(?:[a-z]+\s)?{singular}s?\b(?!\s?[:#]).*", re.IGNORECASE)
    alone = re.compile(rf"\W*{label}\s?[:=.#]?\W*", re.IGNORECASE)
    for row in _rows(pages):
        for cell, beside in zip(row, [*row[1:], None], strict=True):
            text = cell[1].text
            if not all(Phrase(word).times_in(text) for word in others.split()):
                continue
            if match := before.fullmatch(text) or after.fullmatch(text):
                return int(match["number"].replace(",", "")), [cell]
            if beside and alone.fullmatch(text) and re.fullmatch(r"\W*\d{1,3}(?:,\d{3})*\W*", beside[1].text):
                return int(re.sub(r"\D", "", beside[1].text)), [cell, beside]
    return None


def _quantity(goods: str, pages: Sequence[Page]) -> tuple[int, list[Cell]] | None:
    """How many of one thing were bought: `3 Surface Pens 299.97`, or 3 in a column of its own."""
    named = Phrase(goods.removesuffix("s"))
    for row in _rows(pages):
        for cell in row:
            if not (named.times_in(cell[1].text) or Phrase(goods).times_in(cell[1].text)):
                continue
            if match := re.match(r"\W*(\d{1,3})\s?[xX*]?\s", cell[1].text):
                return int(match[1]), [cell]
            for other in row:
                if match := re.fullmatch(r"[\W_]*(\d{1,3})\s?(?:[xX*]|pcs?|st)?\W*", other[1].text):
                    return int(match[1]), [other, cell]
    return None


def _rows(pages: Sequence[Page]) -> Iterator[Row]:
    """The pages' lines, those of one height together."""
    for page in pages:
        row: Row = []
        for line in sorted(page.lines, key=lambda line: (line.box[1] + line.box[3]) / 2):
            middle = (line.box[1] + line.box[3]) / 2
            if row and middle > median((cell.box[1] + 3 * cell.box[3]) / 4 for _, cell in row):
                yield sorted(row, key=lambda cell: cell[1].box[0])
                row = []
            row.append((page, line))
        if row:
            yield sorted(row, key=lambda cell: cell[1].box[0])


def _table(pages: Sequence[Page], is_dated: bool) -> list[Row]:
    """The rows of the table, or of the list, whose amounts stand below each other at the right.

    It begins below its header, where it has one, and ends with its totals; a row without an amount goes on with the
    one above. `is_dated` asks for a date in each.
    """
    rows = list(_rows(pages))
    heads = [
        index
        for index, row in enumerate(rows)
        if len({word.lower() for _, line in row for word in _HEADER.findall(line.text)}) >= 3 and not _amount(row)
    ]
    found: list[Row] = []
    for row in rows[heads[0] + 1 if heads else 0 :]:
        text = " ".join(line.text for _, line in row)
        amount = _amount(row)
        if amount is None:
            continue
        if is_dated:
            if not _BALANCES.search(text) and any(value.kind == "date" for value in find_values(text)):
                found.append(row)
        elif any(_TOTALS.match(line.text) for _, line in row):
            if found:
                break
        elif any(map(str.isalpha, text)):
            found.append(row)
    edges = [edge for row in found if (edge := _amount(row)) is not None]
    if not edges:
        return []
    edge, width = median_high(edges), rows[0][0][0].width
    return [row for row in found if abs((_amount(row) or 0) - edge) <= _ALIGNED * width] if not is_dated else found


def _letters(cell: Cell) -> int:
    return sum(map(str.isalpha, cell[1].text))


def _amount(row: Row) -> float | None:
    """The right edge of the amount that a row ends with."""
    _, line = row[-1]
    amounts = [value for value in find_values(line.text) if value.kind == "amount"]
    if not amounts or len(line.text.rstrip()) - amounts[-1].end > 2:
        return None
    return line.box[2]
