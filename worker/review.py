"""Classifications that a person looks at: who has which, how they end, and what there is to look at."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine

from core.class_set import DocumentClass
from core.contract import Answer, ClassifyResult
from core.errors import IntakeError, RejectedInput
from core.page import Page
from core.picture import Pixels
from core.reading import GLANCE, READER, Reader
from core.settings import Settings
from db import queries
from db.queries import OpenCase
from db.session import transaction
from worker import class_sets
from worker.intake import fetch_again


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a person looks at: what was said of a document, its pages, what else was found on it, and the classes that
    it may be of.

    `images` are the pages' pixels, upright; none where the document cannot be had any more, which `missing` says.
    """

    case: OpenCase
    result: ClassifyResult
    answers: list[Answer]
    classes: list[DocumentClass]
    pages: tuple[Page, ...] = ()
    images: tuple[Pixels, ...] = ()
    missing: str | None = None


def claim_next(engine: Engine, by: str, lapse: float, class_set: str | None = None) -> OpenCase | None:
    """Claim the case that waits longest and that nobody else has; None: there is none.

    A claim holds for `lapse` seconds.
    """
    while True:
        with transaction(engine) as connection:
            case = queries.next_case(connection, lapse, class_set)
            # One who claimed it while it was looked for may have let go of the lock by now.
            if case is None or queries.claim_case(connection, case.task_id, by, lapse):
                return case and queries.get_open_case(connection, case.task_id)


def release(engine: Engine, task_id: str) -> OpenCase:
    """Let others claim a case, whoever has it. Raises as `find` does."""
    with transaction(engine) as connection:
        case = find(connection, task_id)
        queries.release_case(connection, task_id)
    return case


def dismiss(engine: Engine, task_id: str, by: str, note: str | None, lapse: float) -> OpenCase:
    """Close a case without a label: nothing is learned from it. Raises as `find` does."""
    with transaction(engine) as connection:
        case = find(connection, task_id, by, lapse)
        queries.dismiss_case(connection, task_id, by, note)
    return case


def find(connection: Connection, task_id: str, by: str | None = None, lapse: float = 0) -> OpenCase:
    """The open case, which `by` may close.

    Raises RejectedInput: `unknown_task`, `not_open`, `claimed` by somebody else within these seconds.
    """
    case = queries.get_open_case(connection, task_id)
    if case is None:
        if queries.get_classification(connection, task_id) is None:
            raise RejectedInput("unknown_task", f"no classification has task id {task_id}")
        raise RejectedInput(
            "not_open", f"{task_id} needs no review (any more): it was certain, or somebody has resolved it"
        )
    if by is not None and case.claimed_by not in (None, by) and is_claimed(case, lapse):
        raise RejectedInput(
            "claimed", f"{case.claimed_by} has claimed it; `docintake review release {task_id}` gives it free"
        )
    return case


def is_claimed(case: OpenCase, lapse: float) -> bool:
    """Whether somebody has it: claimed within these seconds."""
    return case.claimed_at is not None and datetime.now(UTC) - case.claimed_at < timedelta(seconds=lapse)


def sheets(engine: Engine, settings: Settings, reader: Reader, cases: list[OpenCase]) -> Iterator[Sheet]:
    """One a case, in order; cases that were closed meanwhile by their documents' removal are left out."""
    classes: dict[str | None, list[DocumentClass]] = {}
    for case in cases:
        with transaction(engine) as connection:
            found = queries.get_classification(connection, case.task_id)
            if found is None:
                continue
            result = ClassifyResult.model_validate(found)
            if case.class_set not in classes:
                classes[case.class_set] = _classes(connection, case.class_set)
            answers = queries.answers_about(connection, case.document_id)
            pages = _pages(connection, result)
        try:
            document = fetch_again(engine, settings.documents, case.document_id)
            images = reader.render(document, pages)
        except IntakeError as error:
            yield Sheet(case, result, answers, classes[case.class_set], missing=error.message)
        else:
            yield Sheet(case, result, answers, classes[case.class_set], pages, images)


def _classes(connection: Connection, class_set: str | None) -> list[DocumentClass]:
    """Those of the set as it is served now, which a label has to be one of; none for one-off classes."""
    if class_set is None:
        return []
    return list(class_sets.read(connection, class_sets.find(connection, class_set)).classes)


def _pages(connection: Connection, result: ClassifyResult) -> tuple[Page, ...]:
    """The pages that it went by, as they were read or, by a backend that goes by pixels, looked at."""
    numbers, sha256 = [page.number for page in result.pages], result.document.document_id
    found = queries.get_pages(connection, sha256, READER, numbers) or queries.get_pages(
        connection, sha256, GLANCE, numbers
    )
    # A page that was read by an older release is shown as it lies in the document.
    read = {page.number: page for page in map(Page.from_json, found)}
    return tuple(read.get(number, Page(number, 1, 1, "image", ())) for number in numbers)
