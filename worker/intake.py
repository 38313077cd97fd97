"""Taking a document in: from a reference to its pages' features, doing only what was never done before."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from core.contract import DocumentInfo, DocumentReference
from core.documents import Document, choose_pages, fetch
from core.errors import RejectedInput
from core.features import Features, features_of
from core.page import Page, Source
from core.reading import READER
from db import queries
from db.session import transaction
from worker.runtime import Runtime


@dataclass(frozen=True, slots=True)
class IntakePage:
    """One page, ready to be decided on; a blank one has no features."""

    number: int
    source: Source
    features: Features | None


@dataclass(frozen=True, slots=True)
class Intake:
    """A document with the pages that were asked for. `cached`: nothing had to be read or encoded."""

    document: DocumentInfo
    pages: tuple[IntakePage, ...]
    cached: bool


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the time that the block takes to `seconds[stage]`."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = round(seconds.get(stage, 0) + time.perf_counter() - start, 6)


def take_in(runtime: Runtime, reference: DocumentReference, pages: str, seconds: dict[str, float]) -> Intake:
    """Fetch, read and encode what is not stored yet, store it, and return the chosen pages.

    `seconds` receives the time of each stage. Raises RejectedInput, TransientFailure or ModelFailure.
    """
    known, document = _identify(runtime, reference, seconds)
    with timed(seconds, "lookup"):
        stored = _stored(runtime, known, pages)
    if stored is not None and not stored.missing:
        return Intake(stored.info, stored.in_order(), cached=True)
    if document is None:
        with timed(seconds, "fetch"):
            document = _fetch_again(runtime, known)
    with timed(seconds, "read"):
        wanted = pages if stored is None else ",".join(str(number) for number in stored.missing)
        read = runtime.reader.read(document, wanted)
    with timed(seconds, "encode"):
        encoded = _encode(runtime, read.pages)
    info = DocumentInfo(document_id=document.sha256, media_type=document.media_type, page_count=read.page_count)
    with timed(seconds, "store"):
        _store(runtime, document, info, read.pages, encoded)
    earlier = () if stored is None else stored.in_order()
    return Intake(info, tuple(sorted((*earlier, *encoded), key=lambda page: page.number)), cached=False)


@dataclass(frozen=True, slots=True)
class _Stored:
    info: DocumentInfo
    pages: dict[int, IntakePage]
    missing: list[int]

    def in_order(self) -> tuple[IntakePage, ...]:
        return tuple(self.pages[number] for number in sorted(self.pages))


def _identify(
    runtime: Runtime, reference: DocumentReference, seconds: dict[str, float]
) -> tuple[str, Document | None]:
    """The document's SHA-256, and its bytes unless the reference is a document id."""
    if reference.document_id is not None:
        return reference.document_id, None
    with timed(seconds, "fetch"):
        document = fetch(reference, runtime.settings.documents)
    return document.sha256, document


def _stored(runtime: Runtime, sha256: str, pages: str) -> _Stored | None:
    with transaction(runtime.engine) as connection:
        row = queries.get_document(connection, sha256)
        if row is None:
            return None
        numbers = choose_pages(pages, row.page_count, runtime.settings.documents)
        features = queries.get_features(connection, sha256, runtime.encoder, numbers)
        sources = queries.get_sources(connection, sha256, READER, list(features))
    info = DocumentInfo(document_id=sha256, media_type=row.media_type, page_count=row.page_count)
    found = {
        number: IntakePage(number, sources[number], None if data is None else Features.from_bytes(data))
        for number, data in features.items()
        if number in sources
    }
    return _Stored(info, found, [number for number in numbers if number not in found])


def _fetch_again(runtime: Runtime, sha256: str) -> Document:
    """Fetch a document that is known by its id alone, from where it came the first time."""
    with transaction(runtime.engine) as connection:
        row = queries.get_document(connection, sha256)
    if row is None:
        raise RejectedInput("unknown_document", f"no document {sha256} was seen before; send its URI or its content")
    if row.uri is None:
        raise RejectedInput(
            "document_gone", f"document {sha256} came inside a message and was not kept; send it again"
        )
    document = fetch(DocumentReference(uri=row.uri), runtime.settings.documents)
    if document.sha256 != sha256:
        raise RejectedInput("document_changed", f"what stands at the URI of document {sha256} is another file by now")
    return document


def _encode(runtime: Runtime, pages: Sequence[Page]) -> list[IntakePage]:
    waiting = [
        (page, None if page.is_blank else runtime.device.submit(runtime.backend.prepare(page))) for page in pages
    ]
    return [
        IntakePage(page.number, page.source, None if future is None else features_of(page, future.result()))
        for page, future in waiting
    ]


def _store(
    runtime: Runtime, document: Document, info: DocumentInfo, pages: Sequence[Page], encoded: Sequence[IntakePage]
) -> None:
    with transaction(runtime.engine) as connection:
        queries.put_document(
            connection,
            sha256=document.sha256,
            media_type=document.media_type,
            page_count=info.page_count,
            size=len(document.content),
            uri=document.uri,
        )
        queries.put_pages(connection, document.sha256, READER, pages)
        queries.put_features(
            connection,
            document.sha256,
            runtime.encoder,
            {page.number: None if page.features is None else page.features.to_bytes() for page in encoded},
        )
