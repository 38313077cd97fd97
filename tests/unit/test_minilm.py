"""The sentence encoder as it is written here, beside the library that it was published for."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.backends.minilm import WIDTH, MiniLM
from core.backends.ocr_text import _folder

TEXTS = [
    "an invoice",
    "",
    "   Total due:\t1.203,39 €\n\nGrüße aus Köln, 文件 🙂",
    "word " * 400,  # more than it heeds
    "A bill of lading is a document issued by a carrier to acknowledge receipt of cargo for shipment.",
    "x" * 300,
    *(f"line {number} of so many that they go in two batches" for number in range(40)),
]


@pytest.fixture(scope="module")
def model() -> MiniLM:
    return MiniLM.load(_folder(), "cpu")


def test_its_vectors_are_those_of_sentence_transformers(model: MiniLM) -> None:
    from sentence_transformers import SentenceTransformer

    published = SentenceTransformer(str(_folder()), device="cpu", local_files_only=True)
    expected = published.encode(TEXTS, show_progress_bar=False)
    with torch.inference_mode():
        vectors = model(TEXTS).numpy()
    assert vectors.shape == (len(TEXTS), WIDTH)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_a_text_has_the_same_vector_in_whatever_company(model: MiniLM) -> None:
    with torch.inference_mode():
        together = model(TEXTS)
        for text, vector in zip(TEXTS[:8], together, strict=False):
            torch.testing.assert_close(model([text])[0], vector, atol=1e-5, rtol=0)


def test_neither_transformers_nor_sentence_transformers_is_imported() -> None:
    code = (
        "import sys; from core.backends.ocr_text import OcrText; from core.settings import Model\n"
        "backend = OcrText(Model()); backend.load('cpu'); backend.encode_texts(['a text'])\n"
        "assert not {'transformers', 'sentence_transformers', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_of_another_model_do_not_pass_for_its_own(tmp_path: Path) -> None:
    shutil.copy(_folder() / "tokenizer.json", tmp_path)
    state = load_file(_folder() / "model.safetensors")
    save_file(
        {name: weight for name, weight in state.items() if "layer.5" not in name}, tmp_path / "model.safetensors"
    )
    with pytest.raises(RuntimeError, match=r"layer\.5"):
        MiniLM.load(tmp_path, "cpu")


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        MiniLM.load(tmp_path, "cpu")
