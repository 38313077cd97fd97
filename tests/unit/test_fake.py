import numpy as np
import pytest

from core.backends import make_backend
from core.errors import ModelFailure, RejectedInput
from core.page import Line, Page
from core.settings import Model


def test_the_fake_backend_makes_the_same_unit_vectors_every_time() -> None:
    texts = ["an invoice with an amount due", "a letter", ""]
    first, second = (make_backend(Model(backend="fake")).encode_texts(texts) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)
    assert first.dtype == np.float32


def test_texts_that_share_words_are_near_for_the_fake_backend() -> None:
    invoice, bill, letter = make_backend(Model(backend="fake")).encode_texts(
        ["invoice amount due", "amount due soon", "dear sir"]
    )
    assert invoice @ bill > invoice @ letter


def test_the_fake_backend_gives_each_page_its_parts() -> None:
    backend = make_backend(Model(backend="fake"))
    backend.load("cpu")
    page = Page(1, 1000, 1400, "ocr", (Line("INVOICE", (0, 0, 300, 60)), Line("Total 4.00", (0, 90, 200, 110))))
    first, second = backend.encode_documents([backend.prepare(page)] * 2)
    assert first.shape == (len(backend.prepare(page)), second.shape[1])


def test_the_fake_backend_has_no_blocks_that_could_learn() -> None:
    with pytest.raises(RejectedInput, match="nothing_to_unfreeze"):
        make_backend(Model(backend="fake")).trainable(1)
    with pytest.raises(ModelFailure, match="checkpoint_unusable"):
        make_backend(Model(backend="fake")).tuned({})
