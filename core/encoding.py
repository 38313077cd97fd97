"""Pages → features on the caller's own thread, for commands that have the model to themselves."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.backends import Backend, EncodePages
from core.documents import Document
from core.features import Features, features_of
from core.page import Page
from core.reading import Reader


def prepare(backend: Backend, reader: Reader, document: Document, pages: Sequence[Page]) -> list[Any]:
    """What the backend needs of pages that were read from the document, none of them blank."""
    if not backend.needs_pixels:
        return [backend.prepare(page) for page in pages]
    return [backend.prepare(*each) for each in zip(pages, reader.render(document, pages), strict=True)]


def encode(
    backend: Backend, encoders: Mapping[str, EncodePages], pages: Sequence[Page], prepared: Sequence[Any]
) -> dict[int, Features]:
    """Page number → features, as the backend sees it and as each of the encoders does."""
    if not pages:
        return {}
    features = [features_of(*each) for each in zip(pages, backend.encode_documents(prepared), strict=True)]
    for key, encoder in encoders.items():
        seen = zip(features, encoder(prepared), strict=True)
        features = [page.with_tuned(key, vector) for page, vector in seen]
    return {page.number: each for page, each in zip(pages, features, strict=True)}
