"""Taking a document in: from a reference to its pages, their features and their pixels, doing nothing twice."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from core.backends import EncodePages, Vectors
from core.contract import DocumentInfo, DocumentReference
from core.documents import Document, choose_pages, fetch, possible_pages
from core.errors import RejectedInput
from core.features import Features, features_of
from core.page import Page, Source
from core.picture import Pixels
from core.reading import GLANCE, READER
from core.settings import Documents
from core.zero_shot import NO_ENCODERS
from db import queries
from db.session import statement, transaction
from worker import features, log, metrics, tracing
from worker.features import Pages
from worker.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Intake:
    """A document with those of its pages that were asked for, in page order.

    `fetched` is the document itself where it had to be fetched; `cached`: nothing had to be read. `pixels` are those
    of pages that were looked at just now, by page number.
    """

    document: DocumentInfo
    pages: tuple[Page, ...]
    fetched: Document | None
    cached: bool
    pixels: Mapping[int, Pixels] = field(default_factory=dict)

    @property
    def numbers(self) -> list[int]:
        return [page.number for page in self.pages]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A document's pages, ready to be decided on: (number, features), none for a blank one.

    `cached`: nothing had to be encoded.
    """

    pages: list[tuple[int, Features | None]]
    cached: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """A document with what deciding needs of those of its pages that were asked for: (number, source), and encoded.

    `cached`: nothing had to be read or encoded.
    """

    document: DocumentInfo
    sources: list[tuple[int, Source]]
    pages: list[tuple[int, Features | None]]
    cached: bool


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the time that the block takes to `seconds[stage]`."""
    start = time.perf_counter()
    try:
        with tracing.span(stage):
            yield
    finally:
        seconds[stage] = round(seconds.get(stage, 0) + time.perf_counter() - start, 6)


def see(
    runtime: Runtime,
    reference: DocumentReference,
    pages: str,
    seconds: dict[str, float],
    encoders: Mapping[str, EncodePages] = NO_ENCODERS,
) -> Seen:
    """What `take_in` and `encode` come to, for a document that is to be decided on and no more: one statement, where
    everything is stored. Raises as they do.
    """
    read = runtime.backend.needs_text
    identity = _identify(runtime, reference, seconds)
    with timed(seconds, "lookup"):
        is_known, seen = _recall(runtime, identity.sha256, pages, READER if read else GLANCE, encoders)
    if seen is not None:
        return seen
    intake = _take_in(runtime, identity, pages, seconds, read=read, is_new=not is_known)
    encoded = _encode(runtime, intake, seconds, encoders, is_new=not is_known)
    return Seen(
        intake.document,
        [(page.number, page.source) for page in intake.pages],
        encoded.pages,
        cached=intake.cached and encoded.cached,
    )


def take_in(
    runtime: Runtime, reference: DocumentReference, pages: str, seconds: dict[str, float], *, read: bool = True
) -> Intake:
    """Fetch and read what is not stored yet, store it, and return the chosen pages; without `read` they are only
    looked at, which is enough for an encoder that goes by pixels.

    `seconds` receives the time of each stage. Raises RejectedInput, TransientFailure or ModelFailure.
    """
    return _take_in(runtime, _identify(runtime, reference, seconds), pages, seconds, read=read)


def _take_in(
    runtime: Runtime,
    identity: "_Identity",
    pages: str,
    seconds: dict[str, float],
    *,
    read: bool,
    is_new: bool = False,
) -> Intake:
    known, document = identity.sha256, identity.fetched
    reader = READER if read else GLANCE
    with timed(seconds, "lookup"):
        stored = None if is_new else _stored(runtime, known, pages, reader)
    if stored is not None and not stored.missing:
        metrics.PAGES.looked_up(found=len(stored.pages), missing=0)
        return Intake(stored.info, stored.pages, document, cached=True)
    if document is None:
        with timed(seconds, "fetch"):
            document = fetch_again(runtime.engine, runtime.settings.documents, known)
    pixels: Mapping[int, Pixels] = {}
    with timed(seconds, "read"):
        wanted = pages if stored is None else ",".join(str(number) for number in stored.missing)
        if read:
            found = runtime.reader.read(document, wanted)
        else:
            found, seen = runtime.reader.glance(document, wanted)
            pixels = {page.number: image for page, image in zip(found.pages, seen, strict=True)}
    info = DocumentInfo(document_id=known, media_type=document.media_type, page_count=found.page_count)
    with timed(seconds, "store"), transaction(runtime.engine) as connection:
        queries.put_document(
            connection,
            sha256=known,
            media_type=info.media_type,
            page_count=info.page_count,
            size=len(document.content),
            uri=document.uri,
        )
        queries.put_pages(connection, known, reader, found.pages)
    earlier = () if stored is None else stored.pages
    metrics.PAGES.looked_up(found=len(earlier), missing=len(found.pages))
    in_order = tuple(sorted((*earlier, *found.pages), key=lambda page: page.number))
    return Intake(info, in_order, document, cached=False, pixels=pixels)


def encode(
    runtime: Runtime, intake: Intake, seconds: dict[str, float], encoders: Mapping[str, EncodePages] = NO_ENCODERS
) -> Encoded:
    """Encode what is not stored yet, store it, and return the features of all pages. Raises as `take_in` does.

    Further `encoders`, by key, see the pages as well.
    """
    return _encode(runtime, intake, seconds, encoders)


def _encode(
    runtime: Runtime,
    intake: Intake,
    seconds: dict[str, float],
    encoders: Mapping[str, EncodePages],
    *,
    is_new: bool = False,
) -> Encoded:
    desk = _Desk(runtime, intake, seconds, is_new=is_new)
    pages, cached = desk.encoded(runtime.encoder, runtime.backend.encode_documents, features_of)
    for key, encoder in encoders.items():
        name = features.name_of(runtime.encoder, key)
        seen, known = desk.encoded(name, encoder, lambda _, vector: Features.of_vector(vector))
        pages, cached = features.joined(pages, key, seen), cached and known
    return Encoded([(number, pages[number]) for number in intake.numbers], cached)


def render(runtime: Runtime, intake: Intake, pages: Sequence[Page], seconds: dict[str, float]) -> tuple[Pixels, ...]:
    """The pixels of some of the pages, which are not stored: the document is fetched for them, if it was not.

    Raises as `take_in` does.
    """
    missing = [page for page in pages if page.number not in intake.pixels]
    pixels = dict(intake.pixels)
    if missing:
        document = intake.fetched
        if document is None:
            with timed(seconds, "fetch"):
                document = fetch_again(runtime.engine, runtime.settings.documents, intake.document.document_id)
        with timed(seconds, "render"):
            rendered = runtime.reader.render(document, missing)
        pixels |= {page.number: image for page, image in zip(missing, rendered, strict=True)}
    return tuple(pixels[page.number] for page in pages)


def prepare(runtime: Runtime, intake: Intake, pages: Sequence[Page], seconds: dict[str, float]) -> list[Any]:
    """What encoders need of some of the pages, none of them blank. Raises as `take_in` does."""
    backend = runtime.backend
    if not backend.needs_pixels:
        return [backend.prepare(page) for page in pages]
    rendered = render(runtime, intake, pages, seconds)
    with timed(seconds, "prepare"):
        return [backend.prepare(page, pixels) for page, pixels in zip(pages, rendered, strict=True)]


@dataclass(frozen=True, slots=True)
class _Stored:
    info: DocumentInfo
    pages: tuple[Page, ...]
    missing: list[int]


@dataclass(frozen=True, slots=True)
class _Identity:
    """A document's SHA-256, and the document itself unless the reference was a document id."""

    sha256: str
    fetched: Document | None


def _identify(runtime: Runtime, reference: DocumentReference, seconds: dict[str, float]) -> _Identity:
    if reference.document_id is not None:
        found = _Identity(reference.document_id, None)
    else:
        with timed(seconds, "fetch"):
            document = fetch(reference, runtime.settings.documents)
        found = _Identity(document.sha256, document)
    log.name_document(found.sha256)
    tracing.name_document(found.sha256)
    return found


def _recall(
    runtime: Runtime, sha256: str, pages: str, reader: str, encoders: Mapping[str, EncodePages]
) -> tuple[bool, Seen | None]:
    """Whether anything is stored of the document; and what is, if that is all there is to it."""
    names = {key: features.name_of(runtime.encoder, key) for key in encoders}
    wanted = {runtime.encoder, *names.values()}
    limits = runtime.settings.documents
    with statement(runtime.engine) as connection:
        found = queries.get_seen(connection, sha256, reader, wanted, possible_pages(pages, limits))
    if found is None:
        return False, None
    media_type, page_count, rows = found
    by_number = {row.number: row for row in rows}
    chosen = [by_number.get(number) for number in choose_pages(pages, page_count, limits)]
    complete = [row for row in chosen if row is not None and row.features.keys() >= wanted]
    if len(complete) < len(chosen):
        return True, None
    found_pages = features.read({row.number: row.features[runtime.encoder] for row in complete})
    for key, name in names.items():
        found_pages = features.joined(
            found_pages, key, features.read({row.number: row.features[name] for row in complete})
        )
    metrics.PAGES.looked_up(found=len(complete), missing=0)
    metrics.FEATURES.looked_up(found=len(complete), missing=0)
    return True, Seen(
        DocumentInfo(document_id=sha256, media_type=media_type, page_count=page_count),
        [(row.number, row.source) for row in complete],
        list(found_pages.items()),
        cached=True,
    )


def _stored(runtime: Runtime, sha256: str, pages: str, reader: str) -> _Stored | None:
    with transaction(runtime.engine) as connection:
        row = queries.get_document(connection, sha256)
        if row is None:
            return None
        numbers = choose_pages(pages, row.page_count, runtime.settings.documents)
        found = [Page.from_json(page) for page in queries.get_pages(connection, sha256, reader, numbers)]
    info = DocumentInfo(document_id=sha256, media_type=row.media_type, page_count=row.page_count)
    have = {page.number for page in found}
    return _Stored(info, tuple(found), [number for number in numbers if number not in have])


def fetch_again(engine: Engine, limits: Documents, sha256: str) -> Document:
    """Fetch a document that is known by its id alone, from where it came the last time.

    Raises RejectedInput: `unknown_document`, `document_gone`, `document_changed`, and as core.documents.fetch does.
    """
    with transaction(engine) as connection:
        row = queries.get_document(connection, sha256)
    if row is None:
        raise RejectedInput("unknown_document", f"no document {sha256} was seen before; send its URI or its content")
    if row.uri is None:
        raise RejectedInput(
            "document_gone", f"document {sha256} came inside a message and was not kept; send it again"
        )
    document = fetch(DocumentReference(uri=row.uri), limits)
    if document.sha256 != sha256:
        raise RejectedInput("document_changed", f"what stands at the URI of document {sha256} is another file by now")
    return document


class _Desk:
    """Where one document's pages are encoded, by one encoder after the other, and prepared for all of them once."""

    def __init__(self, runtime: Runtime, intake: Intake, seconds: dict[str, float], *, is_new: bool) -> None:
        self._runtime = runtime
        self._intake = intake
        self._seconds = seconds
        self._is_new = is_new
        self._prepared: dict[int, Any] = {}

    def encoded(
        self, name: str, encoder: EncodePages, make: Callable[[Page, Vectors], Features]
    ) -> tuple[Pages, bool]:
        """The features that an encoder of that name makes of all pages, and whether all of them were stored."""
        sha256, engine = self._intake.document.document_id, self._runtime.engine
        pages: Pages = {}
        if not self._is_new:
            with timed(self._seconds, "lookup"), statement(engine) as connection:
                pages = features.read(queries.get_features(connection, sha256, name, self._intake.numbers))
        missing = [page for page in self._intake.pages if page.number not in pages]
        metrics.FEATURES.looked_up(found=len(pages), missing=len(missing))
        if missing:
            shown = [page for page in missing if not page.is_blank]
            new: Pages = dict.fromkeys((page.number for page in missing), None)
            prepared = self._ready(shown)
            with timed(self._seconds, "encode"):
                weighed = [(item, self._runtime.backend.weight(item)) for item in prepared]
                waiting = self._runtime.device.submit_all(encoder, weighed)
                new |= {page.number: make(page, each.result()) for page, each in zip(shown, waiting, strict=True)}
            with timed(self._seconds, "store"), transaction(engine) as connection:
                data = {number: None if made is None else made.to_bytes() for number, made in new.items()}
                queries.put_features(connection, sha256, name, data)
            pages |= new
        return pages, not missing

    def _ready(self, pages: Sequence[Page]) -> list[Any]:
        unprepared = [page for page in pages if page.number not in self._prepared]
        made = prepare(self._runtime, self._intake, unprepared, self._seconds)
        self._prepared |= {page.number: item for page, item in zip(unprepared, made, strict=True)}
        return [self._prepared[page.number] for page in pages]
