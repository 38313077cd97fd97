"""Documents to learn from: those that people labelled and those of captions files, with their features."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

import structlog

from core.backends import EncodePages
from core.contract import DocumentReference
from core.errors import RejectedInput
from core.settings import Training
from core.training.captions import CaptionedImage
from core.training.dataset import Example, part_of
from db import queries
from db.queries import Label
from db.session import transaction
from worker import features
from worker.catalogue import Choice
from worker.features import Pages
from worker.intake import encode, prepare, take_in
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
    kept: Pages = field(default_factory=dict)


def gather(
    runtime: Runtime,
    labels: Sequence[Label],
    images: Sequence[CaptionedImage],
    classes: Collection[str],
    settings: Training,
    choice: Choice,
    tell: Tell,
) -> Gathered:
    """Find the documents' features, reading and encoding only what never was. What is broken is left out.

    A document that has a label and a caption is of the class that its label says. Documents of the test part are made
    ready for what serves now, the `choice`, which is measured on them. `tell` hears how many are done, of how many.
    Raises RejectedInput(`too_many_left_out`) where more than `max_left_out` of them are missing or broken, and
    TransientFailure.
    """
    found: dict[str, Example] = {}
    left_out: dict[str, str] = {}
    broken: list[str] = []
    total = len(labels) + len(images)

    def look(source: _Source) -> tuple[_Source, Example | str]:
        known = source.label in classes
        return source, _example(runtime, source, settings, choice) if known else "its class is not in the class set"

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
            yield _Source(
                label.sha256,
                label.label,
                DocumentReference(document_id=label.sha256),
                kept=features.read(kept.get(label.sha256, {})),
            )
    for image in images:
        yield _Source(image.uri, image.label, DocumentReference(uri=image.uri), image.captions)


def _example(runtime: Runtime, source: _Source, settings: Training, choice: Choice) -> Example | str:
    """The example, or why it cannot be had. What nobody ever read is taken in as a request for it would be."""

    def encoders_of(document_id: str) -> Mapping[str, EncodePages]:
        judges = part_of(document_id, settings) == "test"
        return choice.encoders if judges else choice.classifier.zero_shot.encoders

    document_id, pages, prepared = source.reference.document_id, source.kept, ()
    learns = settings.unfreeze_last_blocks > 0
    if document_id is None or not pages or learns or encoders_of(document_id):
        wanted = ",".join(map(str, pages)) or runtime.settings.documents.pages
        try:
            intake = take_in(runtime, source.reference, wanted, {}, read=runtime.backend.needs_text)
            document_id = intake.document.document_id
            pages = dict(encode(runtime, intake, {}, encoders_of(document_id)).pages)
        except RejectedInput as error:
            return error.code
        if learns:
            shown = [page for page in intake.pages if not page.is_blank]
            prepared = tuple(prepare(runtime, intake, shown, {}))
    known = tuple(page for page in pages.values() if page is not None)
    return Example(document_id, source.label, known, source.captions, prepared)
