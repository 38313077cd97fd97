"""Documents to learn from: those that people labelled and those of captions files, with their features."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import structlog

from core.contract import DocumentReference
from core.errors import RejectedInput
from core.features import Features
from core.settings import Training
from core.training.captions import CaptionedImage
from core.training.dataset import Example
from db import queries
from db.queries import Label
from db.session import transaction
from worker.intake import encode, take_in
from worker.runtime import Runtime

log = structlog.get_logger()

_CHUNK: Final = 500
"""Documents whose features come at a time."""

Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Gathered:
    """`examples`, one a document, and why others were left out, by document or image."""

    examples: list[Example]
    left_out: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Source:
    """A document that somebody said the class of: by its id with the features that are kept of it, or by its URI."""

    name: str
    label: str
    reference: DocumentReference
    captions: tuple[str, ...] = ()
    kept: tuple[Features | None, ...] = ()


def gather(
    runtime: Runtime,
    labels: Sequence[Label],
    images: Sequence[CaptionedImage],
    classes: Collection[str],
    settings: Training,
    tell: Tell,
) -> Gathered:
    """Find the documents' features, reading and encoding only what never was. What is broken is left out.

    A document that has a label and a caption is of the class that its label says. `tell` hears how many are done, of
    how many. Raises RejectedInput(`too_many_left_out`) where more than `max_left_out` of them are missing or broken,
    and TransientFailure.
    """
    found: dict[str, Example] = {}
    left_out: dict[str, str] = {}
    broken: list[str] = []
    total = len(labels) + len(images)

    def look(source: _Source) -> tuple[_Source, Example | str]:
        return source, _example(runtime, source) if source.label in classes else "its class is not in the class set"

    for done, (source, example) in enumerate(runtime.items.map(look, _sources(runtime, labels, images)), start=1):
        if isinstance(example, str):
            left_out[source.name] = example
        elif example.document_id in found:
            known = found[example.document_id]
            captions = tuple(dict.fromkeys((*known.captions, *example.captions)))
            found[example.document_id] = replace(known, captions=captions)
        elif example.pages:
            found[example.document_id] = example
        else:
            left_out[source.name] = "its pages are blank"
        if isinstance(example, str) and source.label in classes:
            broken.append(f"{source.name} ({example})")
        tell(done, total)
    if len(broken) > settings.max_left_out * total:
        raise RejectedInput(
            "too_many_left_out",
            f"{len(broken)} of {total} documents are missing or broken, such as {', '.join(islice(broken, 3))}; "
            "restore them, or allow more in training.max_left_out",
        )
    if left_out:
        log.warning("documents left out of training", count=len(left_out), broken=len(broken), of=total)
    return Gathered(list(found.values()), left_out)


def _sources(runtime: Runtime, labels: Sequence[Label], images: Sequence[CaptionedImage]) -> Iterator[_Source]:
    for start in range(0, len(labels), _CHUNK):
        chunk = labels[start : start + _CHUNK]
        with transaction(runtime.engine) as connection:
            kept = queries.get_features_of(connection, [label.sha256 for label in chunk], runtime.encoder)
        for label in chunk:
            pages = sorted(kept.get(label.sha256, {}).items())
            yield _Source(
                label.sha256,
                label.label,
                DocumentReference(document_id=label.sha256),
                kept=tuple(None if data is None else Features.from_bytes(data) for _, data in pages),
            )
    for image in images:
        yield _Source(image.uri, image.label, DocumentReference(uri=image.uri), image.captions)


def _example(runtime: Runtime, source: _Source) -> Example | str:
    """The example, or why it cannot be had. What nobody ever read is taken in as a request for it would be."""
    document_id, pages = source.reference.document_id, source.kept
    if document_id is None or not pages:
        try:
            intake = take_in(runtime, source.reference, runtime.settings.documents.pages, {})
            pages = tuple(features for _, features in encode(runtime, intake, {}).pages)
        except RejectedInput as error:
            return error.code
        document_id = intake.document.document_id
    known = tuple(page for page in pages if page is not None)
    return Example(document_id, source.label, known, source.captions)
