"""The benchmark for GPUs, in its smallest size: that it runs, and measures what it says."""

import hashlib
import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import InternVLForConditionalGeneration

from core.settings import PROJECT


@pytest.fixture(scope="module")
def gpu() -> Iterator[Any]:
    """The benchmarks are no part of what is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PROJECT)
        yield importlib.import_module("benchmarks.gpu")


@pytest.fixture(scope="module")
def sheets(gpu: Any) -> list[bytes]:
    found: list[bytes] = gpu.sheets_of(gpu.TINY)
    return found


def test_all_that_needs_no_servers_is_measured_on_a_cpu(gpu: Any, sheets: list[bytes], tmp_path: Path) -> None:
    config = gpu.save(gpu.TINY, tmp_path)
    measured = dict(gpu.inside(gpu.TINY, tmp_path, config, sheets))
    assert len(measured) == 5
    numbers = [value for figures in measured.values() for value in figures.values() if isinstance(value, float)]
    assert all(number > 0 for number in numbers)
    assert "flash_attention" in measured["Machine"]["attention_of_classifying"]
    rates = [name for name in measured["Bare loop"] if "images_a_second" in name]
    assert len(rates) == 2 * len(gpu.TINY.batches)
    asked = [name for name in measured["Answers"] if name.startswith("questions_a_second")]
    assert len(asked) == len(gpu.ANSWERS) * len(gpu.TINY.cases)
    # Names and prompts are as many tokens as a grown-up tokenizer makes of them.
    assert measured["Likelihood of 16 classes"]["tokens_of_names"] < 4 * gpu.SCORED


def test_copies_are_different_documents_that_look_alike(gpu: Any, sheets: list[bytes], tmp_path: Path) -> None:
    uris = [*gpu.copies(sheets, 5, tmp_path / "some"), *gpu.copies(sheets, 5, tmp_path / "others")]
    files = [Path(uri.removeprefix("file://")).read_bytes() for uri in uris]
    assert len({hashlib.sha256(file).hexdigest() for file in files}) == 10
    first, third = (np.asarray(Image.open(io.BytesIO(files[number]))) for number in (0, 2))
    assert np.array_equal(first, third)
    assert np.array_equal(first, np.asarray(Image.open(io.BytesIO(sheets[0]))))


def test_the_full_size_is_that_of_the_published_model(gpu: Any) -> None:
    with torch.device("meta"):
        model = InternVLForConditionalGeneration(gpu.config_of(gpu.FULL, image=1, end=2))
    assert round(sum(weights.numel() for weights in model.parameters()) / 1e6) == 938
    side, patch = gpu.FULL.vision["image_size"], gpu.FULL.vision["patch_size"]
    assert (side // patch // 2) ** 2 == gpu.FULL.tokens_of_tile
