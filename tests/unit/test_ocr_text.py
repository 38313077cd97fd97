import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.backends import Backend, make_backend, ocr_text
from core.errors import ModelFailure
from core.page import Line, Page
from core.settings import Model


@pytest.fixture(scope="module")
def backend() -> Backend:
    loaded = make_backend(Model(backend="ocr_text"))
    loaded.load("cpu")
    return loaded


def test_texts_become_unit_vectors_near_to_what_means_the_same(backend: Backend) -> None:
    bill, invoice, passport = backend.encode_texts(["the supplier's bill", "an invoice", "a passport"])
    assert bill.shape == (384,)
    assert bill.dtype == np.float32
    assert bill @ invoice > bill @ passport + 0.1
    np.testing.assert_allclose([bill @ bill, passport @ passport], 1, atol=1e-5)


def test_a_batch_of_pages_comes_back_page_by_page(backend: Backend) -> None:
    short = Page(1, 1000, 1400, "ocr", (Line("Hello", (0, 0, 100, 20)),))
    long = Page(1, 1000, 1400, "ocr", tuple(Line("word " * 10, (0, 30 * y, 900, 30 * y + 20)) for y in range(40)))
    prepared = [backend.prepare(page) for page in (long, short, long)]
    first, second, third = backend.encode_documents(prepared)
    assert [len(first), len(second), len(third)] == [len(parts) for parts in prepared]
    alone = backend.encode_documents(prepared[1:2])[0]
    np.testing.assert_allclose(second, alone, atol=0.02)
    np.testing.assert_allclose(first, third, atol=0.02)


def test_no_texts_are_no_vectors(backend: Backend) -> None:
    assert backend.encode_texts([]).shape == (0, 384)


def test_weights_that_are_not_the_pinned_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    monkeypatch.setattr(ocr_text, "_folder", lambda: tmp_path)
    with pytest.raises(ModelFailure, match="wrong_weights"):
        make_backend(Model(backend="ocr_text")).load("cpu")


def test_missing_weights_are_a_model_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr_text, "_folder", lambda: tmp_path)
    with pytest.raises(ModelFailure, match="model_missing"):
        make_backend(Model(backend="ocr_text")).load("cpu")


def test_encoding_before_loading_says_so() -> None:
    with pytest.raises(ModelFailure, match="not_loaded"):
        make_backend(Model(backend="ocr_text")).encode_texts(["text"])


def test_importing_the_backend_does_not_import_torch() -> None:
    code = "import sys, core.backends.ocr_text, core.classify, core.evaluation; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loading_says_nothing() -> None:
    code = "from core.backends.ocr_text import OcrText; from core.settings import Model; OcrText(Model()).load('cpu')"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert (done.stdout, done.stderr) == (b"", b"")
