"""The backend as a whole, with models of chance: pages and texts as vectors, and classes told by their names."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_internvl import IMAGE, PAGE, SQUARE, WORDS, Calls, save_internvl, save_mpnet
from transformers import AutoTokenizer, InternVLForConditionalGeneration, MPNetModel

from core.answer import DocumentType, Inquiry
from core.backends.internvl import sentences, tower
from core.backends.internvl.backend import InternVL
from core.backends.internvl.tiles import Cutter
from core.class_set import ClassSet, DocumentClass
from core.errors import ModelFailure, RejectedInput
from core.features import Features, features_of, part_texts
from core.page import Page
from core.settings import Asking, Model
from core.understanding import understand

CLASSES = ClassSet(
    name="papers",
    classes=(
        DocumentClass(name="receipt", description="a scanned document"),
        DocumentClass(name="bank_statement", description="a page of letters"),
        DocumentClass(name="invoice", description="the first page"),
    ),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        "weights": str(save_internvl(tmp_path_factory.mktemp("internvl"))),
        "text_weights": str(save_mpnet(tmp_path_factory.mktemp("mpnet"))),
    }


def loaded(folders: dict[str, str], **settings: Any) -> InternVL:
    backend = InternVL(Model(backend="internvl", **folders, **settings))
    backend.load("cpu")
    return backend


@pytest.fixture(scope="module")
def backend(folders: dict[str, str]) -> InternVL:
    return loaded(folders)


@pytest.fixture(scope="module")
def fused(folders: dict[str, str]) -> InternVL:
    return loaded(folders, fuse_text=True)


def watched(backend: InternVL, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(backend._loaded().model, monkeypatch)


def sentence(folder: str, text: str) -> np.ndarray:
    """A text alone, by transformers itself."""
    ids = AutoTokenizer.from_pretrained(folder)(text, truncation=True, max_length=32, return_tensors="pt")
    with torch.inference_mode():
        hidden = MPNetModel.from_pretrained(folder).eval()(**ids).last_hidden_state[0]
    mean = hidden.mean(0).numpy()
    return mean / np.linalg.norm(mean)


def test_a_page_is_the_mean_of_what_is_seen_in_its_patches(backend: InternVL, folders: dict[str, str]) -> None:
    pages = [backend.prepare(PAGE, image) for image in (IMAGE, SQUARE)]
    model = InternVLForConditionalGeneration.from_pretrained(folders["weights"]).eval()
    for page, vectors in zip(pages, backend.encode_documents(pages), strict=True):
        with torch.inference_mode():
            hidden = model.model.vision_tower(pixel_values=page.tiles.pixels).last_hidden_state
        mean = hidden[:, 1:].reshape(-1, 16).mean(0).numpy()
        assert vectors.shape == (1, 16)
        assert vectors.dtype == np.float32
        assert vectors[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_pages_are_cut_as_far_as_the_settings_say(backend: InternVL, folders: dict[str, str]) -> None:
    tall = np.full((900, 100, 3), 200, np.uint8)
    assert len(backend.prepare(PAGE, tall).tiles) == 5
    assert len(loaded(folders, tiles=9).prepare(PAGE, tall).tiles) == 10
    assert len(loaded(folders, tiles=1).prepare(PAGE, tall).tiles) == 1


def test_a_page_weighs_what_its_tiles_do_and_a_question_less(backend: InternVL) -> None:
    assert [backend.weight(backend.prepare(PAGE, image)) for image in (SQUARE, IMAGE)] == [1, 5]
    answerer = backend.answerer(Asking())
    large = np.zeros((1200, 900, 3), np.uint8)
    prepared = answerer.prepare(Inquiry((PAGE,), 1, lambda: DocumentType(None, 1.0), (large,)))
    assert 1 < answerer.weight(prepared) < len(prepared.tiles) / 3


def test_text_is_needed_only_to_be_fused(backend: InternVL, fused: InternVL) -> None:
    assert (backend.needs_text, fused.needs_text) == (False, True)
    assert backend.device == "cpu"
    assert not backend.shared


def test_a_page_without_its_pixels_is_the_callers_fault(backend: InternVL) -> None:
    assert backend.needs_pixels
    with pytest.raises(ModelFailure, match="no_pixels: page 3"):
        backend.prepare(PAGE)


def test_vectors_do_not_depend_on_company(backend: InternVL, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [IMAGE, SQUARE, 255 - IMAGE]
    alone = [backend.encode_documents([backend.prepare(PAGE, image)])[0] for image in images]
    monkeypatch.setattr(tower, "TOGETHER", 4)
    calls = watched(backend, monkeypatch)
    together = backend.encode_documents([backend.prepare(PAGE, image) for image in images])
    assert np.stack(together) == pytest.approx(np.stack(alone), abs=1e-5)
    assert set(calls.vision[:-1]) == {4}


def test_a_page_that_stands_twice_in_a_batch_is_seen_once(backend: InternVL, monkeypatch: pytest.MonkeyPatch) -> None:
    page = backend.prepare(PAGE, IMAGE)
    calls = watched(backend, monkeypatch)
    first, second = backend.encode_documents([page, page])
    assert (first == second).all()
    assert calls.vision == [len(page.tiles)]


def test_texts_are_the_unit_means_of_their_tokens(
    backend: InternVL, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentences, "TOGETHER", 2)
    texts = ["a scanned document", "", "invoice", " ".join(WORDS * 9), "this is the first page of a letter ."]
    vectors = backend.encode_texts(texts)
    assert vectors.dtype == np.float32
    assert vectors == pytest.approx(np.stack([sentence(folders["text_weights"], text) for text in texts]), abs=1e-5)
    assert backend.encode_texts([]).shape == (0, 24)


def test_text_is_fused_with_looks_where_that_is_wanted(
    backend: InternVL, fused: InternVL, folders: dict[str, str]
) -> None:
    page = replace(PAGE, lines=(replace(PAGE.lines[0], text="this invoice"), replace(PAGE.lines[1], text="a letter")))
    blank = replace(PAGE, lines=())
    both, unread = fused.encode_documents([fused.prepare(page, IMAGE), fused.prepare(blank, IMAGE)])
    looks = backend.encode_documents([backend.prepare(page, IMAGE)])[0][0]
    assert both.shape == (1, 16 + 24)
    assert np.linalg.norm(both) == pytest.approx(1)
    assert both[0, :16] == pytest.approx(looks / 2**0.5, abs=1e-5)
    title, *chunks = [sentence(folders["text_weights"], text) for text in part_texts(page)]
    read = title / 3 + np.mean(chunks, axis=0) * 2 / 3
    assert both[0, 16:] == pytest.approx(read / np.linalg.norm(read) / 2**0.5, abs=1e-5)
    assert unread[0] == pytest.approx(np.concatenate([looks, np.zeros(24)]), abs=1e-5)


def test_the_fingerprint_names_whatever_vectors_depend_on(
    backend: InternVL, fused: InternVL, folders: dict[str, str], tmp_path: Path
) -> None:
    assert loaded(folders).fingerprint == backend.fingerprint
    finer = loaded(folders, tiles=6)
    other = loaded({**folders, "text_weights": str(save_mpnet(tmp_path, seed=8))})
    assert len({backend.fingerprint, fused.fingerprint, finer.fingerprint, other.fingerprint}) == 4


def test_classes_are_told_by_what_a_page_would_be_called(backend: InternVL) -> None:
    zero_shot = backend.zero_shot(CLASSES, backend.encode_texts)
    assert zero_shot.names == ("bank_statement", "invoice", "receipt")
    assert zero_shot.class_vectors.shape == (3, 24)
    (key, encoder), *others = zero_shot.encoders.items()
    assert not others
    prepared = backend.prepare(PAGE, IMAGE)
    (scores,) = encoder([prepared])
    assert scores.shape == (4,)
    page = features_of(PAGE, backend.encode_documents([prepared])[0]).with_tuned(key, scores)
    (logits,), (none,) = zero_shot.logits(zero_shot.scores([page]))
    assert np.argsort(logits).tolist() == np.argsort(scores[:3]).tolist()
    assert np.isfinite(none)
    with pytest.raises(ModelFailure, match="not_tuned"):
        zero_shot.scores([Features.of_vector(np.ones((1, 16), np.float32))])


def test_looks_and_names_of_a_page_take_one_look(backend: InternVL, monkeypatch: pytest.MonkeyPatch) -> None:
    (encoder,) = backend.zero_shot(CLASSES, backend.encode_texts).encoders.values()
    encoder([backend.prepare(PAGE, SQUARE)])  # and, once, at a blank page
    prepared = backend.prepare(PAGE, IMAGE)
    calls = watched(backend, monkeypatch)
    backend.encode_documents([prepared])
    encoder([prepared])
    assert calls.vision == [len(prepared.tiles)]


def test_the_same_classes_are_scored_by_the_same_encoder_and_kept_under_the_same_key(
    backend: InternVL, folders: dict[str, str]
) -> None:
    encoders = backend.zero_shot(CLASSES, backend.encode_texts).encoders
    turned = ClassSet(name="others", classes=CLASSES.classes[::-1])
    assert backend.zero_shot(turned, backend.encode_texts).encoders == encoders
    fewer = ClassSet(name="papers", classes=CLASSES.classes[:2])
    assert not backend.zero_shot(fewer, backend.encode_texts).encoders.keys() & encoders.keys()
    plain = loaded(folders, subtract_prior=False)
    assert not plain.zero_shot(CLASSES, plain.encode_texts).encoders.keys() & encoders.keys()


def test_it_answers_by_generation(backend: InternVL) -> None:
    answerer = backend.answerer(Asking())
    assert answerer.needs_pixels
    prepared = answerer.prepare(Inquiry((PAGE,), 3, lambda: DocumentType(None, 1.0), (IMAGE,)))
    (said,) = answerer.run([(prepared, understand("What is the total?"))])
    assert 0 <= said.probability <= 1


def test_a_compiled_tower_sees_few_sizes_of_batches(
    backend: InternVL, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[dict[str, Any]] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: compiled.append(options))
    quick = loaded(folders, compile=True)
    assert compiled == [{"dynamic": False}]
    calls = watched(quick, monkeypatch)
    for count in (1, 2, 3, 5):
        images = [IMAGE, SQUARE, 255 - IMAGE, 255 - SQUARE, IMAGE][:count]
        expected = backend.encode_documents([backend.prepare(PAGE, image) for image in images])
        own = quick.encode_documents([quick.prepare(PAGE, image) for image in images])
        assert np.stack(own) == pytest.approx(np.stack(expected), abs=1e-5)
    assert set(calls.vision) <= {1, 2, 4, 8, 16, 32}


def test_in_half_precision_it_does_the_same(backend: InternVL, folders: dict[str, str]) -> None:
    half = loaded(folders, dtype="bfloat16", subtract_prior=False)
    page = half.prepare(PAGE, IMAGE)
    assert page.tiles.pixels.dtype == torch.bfloat16
    (vectors,) = half.encode_documents([page])
    assert vectors.dtype == np.float32
    assert vectors @ backend.encode_documents([backend.prepare(PAGE, IMAGE)])[0].T == pytest.approx(1, abs=0.01)
    (encoder,) = half.zero_shot(CLASSES, half.encode_texts).encoders.values()
    assert np.isfinite(encoder([page, half.prepare(PAGE, SQUARE)])).all()
    answerer = half.answerer(Asking())
    inquiries = [Inquiry((PAGE,), 3, lambda: DocumentType(None, 1.0), (image,)) for image in (IMAGE, SQUARE)]
    said = answerer.run([(answerer.prepare(inquiry), understand("Who?")) for inquiry in inquiries])
    assert all(0 < generated.probability <= 1 for generated in said)


def test_for_a_gpu_tiles_wait_in_pinned_memory(backend: InternVL, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    cutter = Cutter(backend._cutter._processor, torch.float16, pinned=True)
    tiles = cutter.cut([IMAGE], 4)
    assert pinned == [tiles.pixels]
    assert tiles.pixels.dtype == torch.float16


def test_nothing_works_before_it_is_loaded_and_there_is_nothing_to_unfreeze(
    backend: InternVL, folders: dict[str, str]
) -> None:
    fresh = InternVL(Model(backend="internvl", **folders))
    for use in (
        lambda: fresh.prepare(PAGE, IMAGE),
        lambda: fresh.encode_documents([]),
        lambda: fresh.encode_texts(["a"]),
        lambda: fresh.answerer(Asking()),
    ):
        with pytest.raises(ModelFailure, match="not_loaded"):
            use()
    with pytest.raises(RejectedInput, match="nothing_to_unfreeze"):
        backend.trainable(2)
    with pytest.raises(ModelFailure, match="checkpoint_unusable"):
        backend.tuned({})


@pytest.mark.parametrize("shape", [(1, 2000), (2000, 3), (3, 3)])
def test_strips_are_pages_like_any(backend: InternVL, shape: tuple[int, int]) -> None:
    page = Page(1, shape[1], shape[0], "ocr", ())
    (vectors,) = backend.encode_documents([backend.prepare(page, np.full((*shape, 3), 128, np.uint8))])
    assert np.linalg.norm(vectors) == pytest.approx(1)
