from collections.abc import Sequence

import numpy as np
import pytest

from core.backends import Vectors
from core.backends.fake import DIMENSIONS, Fake
from core.errors import ModelFailure
from core.examination import PAGES, examine
from core.page import Page
from core.picture import Pixels


class Altered(Fake):
    """Its vectors of pages are multiplied, those of texts cut or made the same."""

    def __init__(self, factor: float = 1, dimensions: int = DIMENSIONS, *, deaf: bool = False) -> None:
        super().__init__()
        self._factor = factor
        self._dimensions = dimensions
        self._deaf = deaf
        self.pages = 0

    def encode_documents(self, batch: Sequence[list[str]]) -> list[Vectors]:
        self.pages += len(batch)
        return [super(Altered, self).encode_texts(parts) * np.float32(self._factor) for parts in batch]

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            row[0 if self._deaf else len(text)] = 1
        return vectors


class Seeing(Altered):
    needs_pixels = True

    def prepare(self, page: Page, pixels: Pixels | None = None) -> list[str]:
        assert pixels is not None
        assert pixels.shape == (page.height, page.width, 3)
        assert pixels.dtype == np.uint8
        assert pixels.min() < pixels.max()
        return super().prepare(page)


def test_a_backend_that_works_is_told_with_what_it_takes() -> None:
    backend = Altered()
    said: list[str] = []
    found = examine(backend, "cpu", said.append)
    assert (found.fingerprint, found.device, found.page_shape[1]) == ("fake-256", "cpu", DIMENSIONS)
    assert found.about == backend.about()
    assert found.memory > 10_000_000
    assert min(found.load, found.warm_up, found.page) > 0
    assert backend.pages == 1 + PAGES
    assert len(said) == len(set(said)) == 3


def test_a_backend_that_sees_is_given_a_page_with_something_on_it() -> None:
    assert examine(Seeing(), "cpu", lambda _: None).page_shape[1] == DIMENSIONS


@pytest.mark.parametrize(
    ("backend", "fault"),
    [
        (Altered(float("nan")), "the vectors of a page are not finite"),
        (Altered(0), "the vectors of a page have length 0, not 1"),
        (Altered(1.5), r"the vectors of a page have length 1\.5, not 1"),
        (Altered(dimensions=100), "pages have 256 dimensions, and texts 100"),
        (Altered(deaf=True), "different texts are the same to it"),
    ],
    ids=["not finite", "zero", "long", "of two spaces", "deaf"],
)
def test_vectors_that_cannot_be_right_are_refused_with_what_to_do(backend: Fake, fault: str) -> None:
    with pytest.raises(ModelFailure, match=rf"wrong_vectors: {fault} \(on cpu, float32\): set model.dtype"):
        examine(backend, "cpu", lambda _: None)


def test_pages_and_texts_of_different_spaces_may_differ_in_length() -> None:
    backend = Altered(dimensions=100)
    backend.shared = False
    assert examine(backend, "cpu", lambda _: None).text_dimensions == 100


def test_what_a_device_raises_while_encoding_is_chained_to_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Fake, "encode_texts", fail)
    with pytest.raises(ModelFailure, match=r"model_unusable: .*cannot encode \(out of memory\)") as raised:
        examine(Fake(), "cpu", lambda _: None)
    assert isinstance(raised.value.__cause__, RuntimeError)
