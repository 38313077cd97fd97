"""Verification questions: whether what is claimed of a document holds."""

import re
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from core.answer import DocumentType, not_found
from core.contract.answer import AmountValue, Answer, DateValue, Evidence, IntegerValue, YesNoValue
from core.features import words_of
from core.genres import genres
from core.page import Line, Page
from core.phrase import Phrase, alike
from core.question import TODAY, Claim, Question
from core.value import find_values, read_amount, read_integer, read_period

SAID: Final = 0.9
"""Confidence that a line says what is looked for …"""
SAID_APART: Final = 0.7
"""… where its words stand in the line, but not beside each other."""
UNSAID: Final = 0.6
"""Confidence that what no line says is not there: the reader may have missed it."""
_NUMBER_OF: Final = "number of "

_INK: Final = re.compile(
    r"(?:hand\s?written )?(?:signature|unterschrift|firma|stamp|seal|stempel|logo|photo\w*|picture|image)s?"
)
_SIGNED: Final = re.compile(
    r"/s/|\b(?:e-?signed|docu\s?signed|(?:digitally|electronically) signed|signed by:? \w)", re.IGNORECASE
)
_FORMAL: Final = (
    "mr mrs ms miss dr prof sir the a an inc incorporated ltd limited llc llp corp corporation co company gmbh ag sa"
    " sas sarl srl spa bv nv plc pty bhd"
)
_FORMALITIES: Final = frozenset(_FORMAL.split())
_SEXES: Final = {"m": "m", "male": "m", "man": "m", "f": "f", "female": "f", "woman": "f"}


def inner(question: Question) -> Question | None:
    """The question whose answer decides a claim: of extraction, or of counting; None where the pages decide alone."""
    claim = question.claim
    if claim is None or claim.relation in ("contains", "exists") or claim.subject == "document type":
        return None
    text = f"What is the {claim.subject}?"
    if claim.subject.startswith(_NUMBER_OF):
        return Question(text, "counting", "number", claim.subject.removeprefix(_NUMBER_OF))
    return Question(text, "extraction", question.expects, claim.subject)


def verify(
    question: Question, found: Answer | None, pages: Sequence[Page], document_type: Callable[[], DocumentType]
) -> Answer:
    """Yes or no, or `not_found` where the document does not tell.

    `found` is the answer to `inner(question)`. What no line contains is answered with No; a claim about a field that
    the document does not hold is not found, and so is one about ink, which text does not show.
    """
    claim = question.claim
    if claim is None:
        return not_found(question, UNSAID)
    if claim.subject == "document type":
        return _of_type(question, claim, pages, document_type())
    if claim.relation in ("contains", "exists"):
        return _of_content(question, claim, pages)
    if found is None or found.status != "answered" or found.answer is None:
        return not_found(question, found.confidence if found and found.status == "not_found" else UNSAID)
    parts = [_holds(question, part, found) for part in _parts(claim)]
    if None in parts:
        return not_found(question, UNSAID)
    return _answered(question, all(parts), found.confidence, found.evidence)


def _parts(claim: Claim) -> list[Claim]:
    """A claim of lying between two bounds is two claims."""
    bounds = re.split(r"\s(?:and|to)\s|\s-\s", claim.target, maxsplit=1)
    if claim.relation != "between" or len(bounds) < 2:
        return [claim]
    return [Claim(claim.subject, "at_least", bounds[0]), Claim(claim.subject, "at_most", bounds[1])]


def _answered(question: Question, yes: bool, confidence: float, evidence: Sequence[Evidence]) -> Answer:
    return Answer(
        question=question.text,
        kind=question.kind,
        status="answered",
        answer="Yes" if yes else "No",
        value=YesNoValue(yes=yes),
        confidence=confidence,
        evidence=list(evidence),
    )


def _evidence(page: Page, line: Line) -> Evidence:
    return Evidence(page=page.number, box=line.box, text=line.text)


def _of_type(question: Question, claim: Claim, pages: Sequence[Page], kind: DocumentType) -> Answer:
    options = re.split(r"\sor\s(?:an?\s)?", claim.target)
    yes = kind.name is not None and any(_is_called(option, kind.name.replace("_", " ")) for option in options)
    titles = [(page, line) for option in options if yes for page, line, _ in Phrase(option).on(pages)]
    return _answered(question, yes, kind.confidence, [_evidence(*title) for title in titles[:1]])


def _is_called(word: str, name: str) -> bool:
    """Whether a document type may be called so: by its name, an alias or what kind of thing it is."""
    called, known = Phrase(word).words, Phrase(name).words
    if called and len(called) <= len(known) and all(map(alike, called, known[-len(called) :])):
        return True
    for genre in genres():
        names = [words_of(each) for each in genre.names]
        if known in names and called in [*names, *(words_of(kind) for kind in genre.kinds)]:
            return True
    return False


def _of_content(question: Question, claim: Claim, pages: Sequence[Page]) -> Answer:
    if _INK.fullmatch(claim.target.lower()) and claim.relation == "exists":
        signed = [(page, line) for page in pages for line in page.lines if _SIGNED.search(line.text)]
        if signed and re.match("(?:hand\\s?written )?(?:sig|unt|fir)", claim.target.lower()):
            return _answered(question, True, SAID, [_evidence(*one) for one in signed])
        return not_found(question, UNSAID)
    lines = [(page, line) for page, line, _ in Phrase(claim.target).on(pages)] or _with_value(claim.target, pages)
    if lines:
        return _answered(question, True, SAID, [_evidence(*one) for one in lines])
    words = Phrase(claim.target).words
    if len(words) > 1:
        for page in pages:
            for line in page.lines:
                said = words_of(line.text)
                if all(any(alike(word, other) for other in said) for word in words):
                    return _answered(question, True, SAID_APART, [_evidence(page, line)])
    return _answered(question, False, UNSAID, [])


def _with_value(target: str, pages: Sequence[Page]) -> list[tuple[Page, Line]]:
    """The lines that print the value of a target such as `$100` in another way."""
    kinds = {value.kind for value in find_values(target)}
    if not kinds & {"amount", "date"}:
        return []
    wanted = read_period(target) if "date" in kinds else read_amount(target)
    found = []
    for page in pages:
        for line in page.lines:
            for value in find_values(line.text):
                if value.kind in kinds and wanted == (
                    read_period(value.text) if value.kind == "date" else read_amount(value.text)
                ):
                    found.append((page, line))
    return found


def _holds(question: Question, claim: Claim, found: Answer) -> bool | None:
    """Whether the claim holds of the answer that was found; None where the two cannot be compared."""
    if question.expects == "date":
        return _is_when(claim, found)
    if question.expects in ("amount", "number", "percent") or claim.relation != "equals":
        return _is_as_much(claim, found)
    return _is_same(question, claim, found.answer or "")


def _is_when(claim: Claim, found: Answer) -> bool | None:
    when = (
        (found.value.date, found.value.date)
        if isinstance(found.value, DateValue)
        else read_period(found.answer or "")
    )
    if when is None:
        return None
    today = date.today()
    # A month without a year is that of the year in question.
    period = (
        (today, today)
        if claim.target.lower() == TODAY
        else read_period(claim.target) or read_period(f"{claim.target} {when[0].year}")
    )
    if period is None:
        return None
    (earliest, latest), (first, last) = when, period
    relation = {"greater": "after", "less": "before"}.get(claim.relation, claim.relation)
    surely, maybe = {
        "before": (latest < first, earliest < first),
        "after": (earliest > last, latest > last),
        "at_least": (earliest >= first, latest >= first),
        "at_most": (latest <= last, earliest <= last),
    }.get(relation, (first <= earliest and latest <= last, earliest <= last and first <= latest))
    return surely if surely == maybe else None


def _is_as_much(claim: Claim, found: Answer) -> bool | None:
    amount, currency = _quantity(found.answer or "", found.value)
    target, target_currency = _quantity(claim.target, None)
    if amount is None or target is None or (currency and target_currency and currency != target_currency):
        return None
    return {
        "greater": amount > target,
        "at_least": amount >= target,
        "less": amount < target,
        "at_most": amount <= target,
        "after": amount > target,
        "before": amount < target,
    }.get(claim.relation, amount == target)


def _quantity(text: str, value: object) -> tuple[Decimal | None, str | None]:
    if isinstance(value, IntegerValue):
        return Decimal(value.integer), None
    amount = value if isinstance(value, AmountValue) else read_amount(text)
    if amount is None:
        integer = read_integer(text)
        return (None if integer is None else Decimal(integer)), None
    return amount.amount, amount.currency


def _is_same(question: Question, claim: Claim, answer: str) -> bool | None:
    if question.expects in ("identifier", "phone", "email", "url"):
        return "".join(words_of(answer)) == "".join(words_of(claim.target))
    if question.expects == "country":
        return _is_country(*sorted(("".join(words_of(text)) for text in (answer, claim.target)), key=len))
    if claim.subject == "sex":
        one, other = (_SEXES.get("".join(words_of(text)[:1])) for text in (answer, claim.target))
        return one == other if one and other else None
    if claim.subject.endswith("currency"):
        one, other = (
            amount.currency if (amount := read_amount(f"{text} 1")) else None for text in (answer, claim.target)
        )
        return one == other if one and other else None
    return _is_named(answer, claim.target)


def _is_country(short: str, long: str) -> bool | None:
    """Whether a code, a country or a nationality are of one country; None for the likes of France and French."""
    if not short or short[:2] != long[:2]:
        return False
    return True if long.startswith(short[: max(3, len(short) - 1)]) else None


def _is_named(answer: str, target: str) -> bool:
    """Whether two names mean the same: one may say more, in any order."""
    one, other = (
        [word for word in words_of(text) if word not in _FORMALITIES] or words_of(text) for text in (answer, target)
    )
    few, many = sorted((one, other), key=len)
    return bool(few) and all(any(alike(word, each) for each in many) for word in few)
