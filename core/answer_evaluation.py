"""How good answering is, measured on questions whose answers are known."""

import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from core.answer import DocumentType, Inquiry, answer_questions, directly
from core.backends import make_backend
from core.class_set import ClassSet
from core.classify import Classifier
from core.contract import DocumentReference
from core.contract.answer import Answer, QuestionText
from core.documents import Document, fetch
from core.encoding import encode, prepare
from core.errors import IntakeError, ModelFailure, RejectedInput
from core.page import Page
from core.reading import Reader
from core.settings import PROJECT, Settings
from core.value import Mention, find_values, read_amount, read_date, read_integer

SIMILAR: Final = 0.5
"""Similarity up to which an answer counts as another one altogether: the threshold of ANLS."""
DEFAULT_CLASSES: Final = PROJECT / "configs" / "classes" / "intake.yaml"


class KnownQuestion(BaseModel):
    """A question about a file, and the answers that are right: none where the file does not hold one."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    file: Annotated[str, StringConstraints(min_length=1)]
    question: QuestionText
    answers: tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)], ...]
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """One question, what was answered (or the code of the error that kept its document from being read), and the
    question's share of the time that its document took.
    """

    known: KnownQuestion
    answer: Answer | None
    seconds: float
    error: str | None = None

    @property
    def status(self) -> str:
        return self.answer.status if self.answer else "failed"

    @property
    def printed(self) -> str | None:
        """The answer as printed; None unless there is one."""
        return self.answer.answer if self.answer and self.answer.status == "answered" else None

    @property
    def right(self) -> bool:
        if not self.known.answers:
            return self.status == "not_found"
        return self.printed is not None and any(agrees(self.printed, gold) for gold in self.known.answers)

    @property
    def similarity(self) -> float:
        """Normalised Levenshtein similarity to the nearest right answer (Biten et al. 2019, arXiv:1905.13648)."""
        if self.right or self.printed is None:
            return float(self.right)
        best = max(_similarity(_plain(self.printed), _plain(gold)) for gold in self.known.answers)
        return best if best > SIMILAR else 0.0

    @property
    def is_shown(self) -> bool | None:
        """Whether the evidence holds a right answer; None where it need not: a count, yes and no, no answer."""
        if self.answer is None or self.printed is None or self.answer.kind != "extraction" or not self.known.answers:
            return None
        evidence = " ".join(line.text for line in self.answer.evidence)
        values = [mention.text for mention in find_values(evidence)]
        return any(
            _plain(gold) in _plain(evidence) or any(agrees(value, gold) for value in values)
            for gold in self.known.answers
        )


class AnswerScore(BaseModel):
    """How some questions were answered. Shares are in [0, 1]; a figure over nothing is None.

    A question that fails, or whose document cannot be read, is answered wrong.
    """

    model_config = ConfigDict(frozen=True)

    questions: int
    exact_match: float | None = Field(description="Share of answerable questions with a right answer.")
    anls: float | None = Field(description="Average normalised Levenshtein similarity over answerable questions.")
    not_found_f1: float | None = Field(description="F1 of `not_found` against questions that have no answer.")
    evidence_hit_rate: float | None = Field(
        description="Share of extracted answers to answerable questions whose evidence holds a right answer."
    )
    seconds_per_question: float | None = Field(description="Reading included.")


class AnswerReport(AnswerScore):
    """What an evaluation found, in all and for each field that questions were marked with."""

    by_field: dict[str, AnswerScore]
    misses: tuple[Judged, ...] = Field(exclude=True, description="Not right, the surest first.")
    unreadable: dict[str, str] = Field(exclude=True, description="File → code of the error.")


def read_questions(path: Path) -> list[KnownQuestion]:
    """The questions of a JSON Lines file, one a line: `{"file", "question", "answers"}`, and `"field"` if wanted.

    Raises RejectedInput(`bad_questions`) that names the line at fault.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RejectedInput("bad_questions", f"{path} cannot be read: {error}") from error
    questions = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            questions.append(KnownQuestion.model_validate_json(line))
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}".removeprefix(": ") for fault in error.errors()
            )
            raise RejectedInput("bad_questions", f"{path}, line {number}: {faults}") from error
    if not questions:
        raise RejectedInput("bad_questions", f"{path} holds no questions: one JSON object a line is expected")
    return questions


def evaluate_questions(
    questions: Sequence[KnownQuestion], directory: Path, settings: Settings, progress: Callable[[int, int], None]
) -> AnswerReport:
    """Answer questions about files under `directory` in this process; each file is read once.

    `progress` is told how many questions are done, of how many. Raises RejectedInput(`no_documents`), ModelFailure.
    """
    if not directory.is_dir():
        raise RejectedInput("no_documents", f"there is no folder {directory}")
    limits = settings.documents.model_copy(update={"roots": (str(directory.resolve()),)})
    backend = make_backend(settings.model)
    backend.load(settings.model.device)
    answerer = backend.answerer(settings.asking)
    classes = ClassSet.from_yaml(DEFAULT_CLASSES)
    thresholds = settings.deciding.thresholds_of(classes.name)
    classifier = cache(lambda: Classifier(backend.zero_shot(classes, backend.encode_texts)))
    reader = Reader(settings.reading, limits)

    def document_type(document: Document, pages: Sequence[Page]) -> DocumentType:
        shown = [page for page in pages if not page.is_blank]
        prepared = prepare(backend, reader, document, shown)
        features = encode(backend, classifier().zero_shot.encoders, shown, prepared)
        return DocumentType.of(classifier().decide(list(features.items()), thresholds))

    def ask(file: str, texts: Sequence[str]) -> list[Answer]:
        document = fetch(DocumentReference(uri=(directory / file).resolve().as_uri()), limits)
        read = reader.read(document, limits.pages)
        images = reader.render(document, read.pages) if answerer.needs_pixels else ()
        inquiry = Inquiry(read.pages, read.page_count, cache(lambda: document_type(document, read.pages)), images)
        return answer_questions(answerer, inquiry, texts, directly(answerer))

    judged: list[Judged] = []
    try:
        for file, group in groupby(sorted(questions, key=lambda known: known.file), lambda known: known.file):
            asked, start, error = list(group), time.perf_counter(), None
            answers: Sequence[Answer | None]
            try:
                answers = ask(file, [known.question for known in asked])
            except ModelFailure:
                raise
            except IntakeError as failure:
                answers, error = [None] * len(asked), failure.code
            seconds = (time.perf_counter() - start) / len(asked)
            judged += [Judged(*pair, seconds, error) for pair in zip(asked, answers, strict=True)]
            progress(len(judged), len(questions))
    finally:
        reader.close()
    return evaluate(judged)


def evaluate(judged: Sequence[Judged]) -> AnswerReport:
    """Sum up questions."""
    fields = sorted({item.known.field for item in judged if item.known.field is not None})
    return AnswerReport(
        **dict(score(judged)),
        by_field={name: score([item for item in judged if item.known.field == name]) for name in fields},
        misses=tuple(sorted((item for item in judged if not item.right), key=_surest_first)),
        unreadable={item.known.file: item.error for item in judged if item.error is not None},
    )


def score(judged: Sequence[Judged]) -> AnswerScore:
    """The figures of these questions."""
    answerable = [item for item in judged if item.known.answers]
    claimed = [item for item in judged if item.status == "not_found"]
    absent = len(judged) - len(answerable)
    positives = len(claimed) + absent
    return AnswerScore(
        questions=len(judged),
        exact_match=_mean(item.right for item in answerable),
        anls=_mean(item.similarity for item in answerable),
        not_found_f1=2 * sum(item.right for item in claimed) / positives if positives else None,
        evidence_hit_rate=_mean(item.is_shown for item in answerable if item.is_shown is not None),
        seconds_per_question=_mean(item.seconds for item in judged),
    )


def agrees(printed: str, gold: str) -> bool:
    """Whether two texts say the same: as dates or as quantities where both are such, else word for word.

    `2015-10-20` agrees with `20-10-2015`, and `4.11` with `$4.11`. A date whose day and month may be swapped agrees
    in either reading, but not with the same digits the other way round.
    """
    if _is_date(printed) and _is_date(gold):
        return any(read_date(printed, day_first)[:1] == read_date(gold, day_first)[:1] for day_first in (True, False))
    quantity, expected = _quantity(printed), _quantity(gold)
    if quantity and expected:
        return quantity[0] == expected[0] and (quantity[1] == expected[1] or None in (quantity[1], expected[1]))
    return _plain(printed) == _plain(gold)


_AROUND: Final = re.compile(r"^\W+|\W+$")
_WEEKDAY: Final = re.compile(r"\W*[^\W\d]*\W*")


def _plain(text: str) -> str:
    """The text without what does not matter: form, case, white space, and punctuation around it."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return _AROUND.sub("", folded) or folded


def _is_date(text: str) -> bool:
    """Whether a text is one date and nothing else, but for a weekday and a time."""
    mentions = [mention for mention in find_values(text) if mention.kind in ("date", "time")]
    rest = text
    for mention in mentions:
        rest = rest.replace(mention.text, "")
    is_one = [mention.kind for mention in mentions].count("date") == 1
    return is_one and bool(read_date(text) and _WEEKDAY.fullmatch(rest))


def _quantity(text: str) -> tuple[Decimal, str | None] | None:
    """The number that a text is, and its unit: a currency or `%`."""
    whole = next((mention for mention in find_values(text) if _is_quantity(mention, text)), None)
    if whole is None:
        integer = read_integer(text) if text.isalpha() else None
        return None if integer is None else (Decimal(integer), None)
    amount = read_amount(whole.text)
    return None if amount is None else (amount.amount, "%" if whole.kind == "percent" else amount.currency)


def _is_quantity(mention: Mention, text: str) -> bool:
    # Leading zeros belong to a name, such as an account's.
    return (
        mention.kind in ("amount", "number", "percent")
        and mention.text == text.strip(" .,:;")
        and not re.match(r"0\d", mention.text)
    )


def _similarity(one: str, other: str) -> float:
    """1 less the Levenshtein distance as a share of the longer text."""
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, 1):
        before, row[0] = row[0], place
        for index, counterpart in enumerate(other, 1):
            before, row[index] = row[index], min(row[index] + 1, row[index - 1] + 1, before + (letter != counterpart))
    return 1 - row[-1] / max(len(one), len(other))


def _surest_first(item: Judged) -> tuple[float, str]:
    return -(item.answer.confidence if item.answer else 0), item.known.file


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return fmean(values) if values else None
