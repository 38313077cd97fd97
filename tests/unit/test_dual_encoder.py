import os
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import made_of_chance
import numpy as np
import pytest
import torch
from made_of_chance import LONGEST, PATCHES, SIDE
from printed import picture
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from core.backends.dual_encoder import DualEncoder
from core.class_set import ClassSet
from core.errors import ModelFailure, RejectedInput
from core.extraction.extractor import Extractor
from core.features import Features
from core.page import Page
from core.picture import Pixels
from core.settings import Asking, Model

PAGE = Page(1, 200, 300, "ocr", ())
FAMILIES = {"clip": made_of_chance.clip, "siglip": made_of_chance.siglip, "siglip2": made_of_chance.naflex}
TEXTS = ("a scan of a letter", "invoice", "a photo of a passport", "", "Zebra, Report: 7")
Families = pytest.mark.parametrize("family", FAMILIES)


def page_like(seed: int, height: int = 300, width: int = 200) -> Pixels:
    """Blocks of colours, different for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 3, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((height // 4, width // 3, 1), dtype=np.uint8))


PIXELS = (
    np.asarray(picture(size=(200, 300), text_height=20)),
    *(page_like(seed, 290 + 9 * seed) for seed in range(4)),
)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in FAMILIES.items()}


def backend_of(weights: Path | str | None, **settings: Any) -> DualEncoder:
    return DualEncoder(Model(backend="dual_encoder", weights=None if weights is None else str(weights), **settings))


def loaded(folder: Path, **settings: Any) -> DualEncoder:
    backend = backend_of(folder, **settings)
    backend.load("cpu")
    return backend


@pytest.fixture(scope="module")
def backends(checkpoints: dict[str, Path]) -> dict[str, DualEncoder]:
    return {name: loaded(folder) for name, folder in checkpoints.items()}


def seen(backend: DualEncoder, images: Sequence[Pixels]) -> np.ndarray:
    return np.concatenate(backend.encode_documents([backend.prepare(PAGE, image) for image in images]))


@Families
def test_pages_and_texts_are_unit_vectors_of_one_space(backends: dict[str, DualEncoder], family: str) -> None:
    backend = backends[family]
    pages, texts = seen(backend, PIXELS), backend.encode_texts(TEXTS)
    assert pages.dtype == texts.dtype == np.float32
    assert pages.shape[1] == texts.shape[1]
    np.testing.assert_allclose(np.linalg.norm(np.concatenate([pages, texts]), axis=1), 1, atol=1e-5)
    assert backend.encode_documents([backend.prepare(PAGE, PIXELS[0])])[0].shape == (1, pages.shape[1])
    for rows in (pages, texts):
        assert np.min(1 - rows @ rows.T + 2 * np.eye(len(rows))) > 0.001
    assert backend.encode_texts([]).shape == (0, pages.shape[1])


@Families
def test_company_changes_nothing(backends: dict[str, DualEncoder], family: str) -> None:
    backend = backends[family]
    alone = np.concatenate([seen(backend, [image]) for image in PIXELS])
    np.testing.assert_allclose(seen(backend, PIXELS), alone, atol=1e-4)
    np.testing.assert_allclose(seen(backend, PIXELS[::-1])[::-1], alone, atol=1e-4)
    texts = [*TEXTS, "x" * 500]
    alone = np.concatenate([backend.encode_texts([text]) for text in texts])
    np.testing.assert_allclose(backend.encode_texts(texts), alone, atol=1e-4)
    np.testing.assert_allclose(backend.encode_texts(texts * 30), np.tile(alone, (30, 1)), atol=1e-4)


@Families
def test_vectors_and_logits_are_those_of_transformers_itself(
    backends: dict[str, DualEncoder], checkpoints: dict[str, Path], family: str
) -> None:
    backend, folder = backends[family], checkpoints[family]
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    processor = type(backend._processor).from_pretrained(folder)
    texts = [text.lower() for text in TEXTS]
    padding = True if family == "clip" else "max_length"
    tokens = tokenizer(
        texts, padding=padding, padding_side="right", max_length=LONGEST, truncation=True, return_tensors="pt"
    )
    inputs = processor(images=list(PIXELS), return_tensors="pt")
    with torch.no_grad():
        theirs = model(input_ids=tokens["input_ids"], **inputs)
        features = model.get_image_features(**inputs).pooler_output
    pages, rows = seen(backend, PIXELS), backend.encode_texts(TEXTS)
    features = torch.nn.functional.normalize(features, dim=-1)
    np.testing.assert_allclose(pages, features.numpy(), atol=1e-4)
    np.testing.assert_allclose(rows, theirs.text_embeds.numpy(), atol=1e-4)
    ours = backend._scale * pages @ rows.T + (backend._bias or 0)
    np.testing.assert_allclose(ours, theirs.logits_per_image.numpy(), atol=1e-4 * backend._scale)


@Families
def test_scale_and_bias_of_the_checkpoint_make_the_logits(backends: dict[str, DualEncoder], family: str) -> None:
    backend = backends[family]
    cosines = backend.zero_shot(ClassSet.one_off(["letter", "invoice"]), backend.encode_texts)
    assert cosines.names == ("invoice", "letter")
    assert cosines.scale == pytest.approx(np.exp(3.1), rel=1e-6)
    assert cosines.bias == (None if family == "clip" else pytest.approx(-2.3))
    vector = seen(backend, PIXELS[:1])[0]
    (classes,), (none,) = cosines.logits(cosines.scores([Features.of_vector(vector)]))
    np.testing.assert_allclose(
        classes, cosines.scale * (cosines.class_vectors @ vector) + (cosines.bias or 0), atol=1e-4
    )
    assert np.isfinite(none)


@Families
def test_half_precision_moves_vectors_little_and_scale_not_at_all(
    backends: dict[str, DualEncoder], checkpoints: dict[str, Path], family: str
) -> None:
    half = loaded(checkpoints[family], dtype="bfloat16")
    assert half._scale == backends[family]._scale
    assert half.prepare(PAGE, PIXELS[0])["pixel_values"].dtype == torch.bfloat16
    assert half.fingerprint == backends[family].fingerprint
    whole, rows = seen(backends[family], PIXELS), seen(half, PIXELS)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert (rows * whole).sum(axis=1).min() > 0.995


@Families
def test_what_is_compiled_sees_the_same_and_is_ready_once_loaded(
    backends: dict[str, DualEncoder], checkpoints: dict[str, Path], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs: list[Any] = []

    def keep(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compile_ = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compile_(module, backend=keep))
    compiled = loaded(checkpoints[family], compile=True)
    ready = len(graphs)
    assert ready
    for count in (1, 2, 3, 5):
        rows = seen(compiled, PIXELS[:count])
        np.testing.assert_allclose(rows, seen(backends[family], PIXELS[:count]), atol=1e-4)
    assert len(graphs) == ready


@Families
@pytest.mark.parametrize("shape", [(2000, 3), (1, 2000), (3, 3), (1, 1)])
def test_a_strip_is_seen_like_any_page(backends: dict[str, DualEncoder], family: str, shape: tuple[int, int]) -> None:
    backend = backends[family]
    strip = np.full((*shape, 3), 128, np.uint8)
    prepared = backend.prepare(PAGE, strip)
    size = (PATCHES, 3 * 7 * 7) if family == "siglip2" else (3, SIDE, SIDE)
    assert prepared["pixel_values"].shape == size
    assert np.isfinite(backend.encode_documents([prepared])[0]).all()


def test_a_page_keeps_its_proportions_where_the_model_can_see_them(backends: dict[str, DualEncoder]) -> None:
    tall = backends["siglip2"].prepare(PAGE, page_like(1, 400, 201))["spatial_shapes"]
    broad = backends["siglip2"].prepare(PAGE, page_like(1, 200, 402))["spatial_shapes"]
    assert tall.tolist() == broad.flip(0).tolist()
    assert tall[0] > tall[1]


@Families
def test_a_page_without_pixels_or_with_none_that_can_be_scaled_fails_with_its_code(
    backends: dict[str, DualEncoder], family: str
) -> None:
    with pytest.raises(ModelFailure, match="no_pixels: page 1"):
        backends[family].prepare(PAGE, None)
    with pytest.raises(ModelFailure, match="scaling_failed: page 1"):
        backends[family].prepare(PAGE, np.zeros((5, 5), np.uint8))


@Families
def test_a_long_text_loses_its_end_alone(backends: dict[str, DualEncoder], family: str) -> None:
    backend = backends[family]
    start = "invoice " * LONGEST
    same = backend.encode_texts([start, start + "letter " * 400])
    np.testing.assert_allclose(same[0], same[1], atol=1e-5)
    encoding = backend._tokenizer.encode(start)
    assert len(encoding.ids) == LONGEST
    assert encoding.special_tokens_mask[-1] == 1
    first = backend.encode_texts(["letter" + start, "passport" + start])
    assert first[0] @ first[1] < 0.9999


@Families
def test_capitals_say_nothing(backends: dict[str, DualEncoder], family: str) -> None:
    lower, upper = backends[family].encode_texts(["a scan of a w-2", "A Scan of a W-2"])
    np.testing.assert_array_equal(lower, upper)


@Families
def test_tokens_that_mean_something_to_the_model_are_taken_out_of_a_text(
    backends: dict[str, DualEncoder], family: str
) -> None:
    backend = backends[family]
    special = [token.content for token in backend._tokenizer.get_added_tokens_decoder().values() if token.special]
    assert len(special) >= 2
    for token in special:
        for smuggled in (token, token.upper()):
            with_it, without = backend.encode_texts([f"letter{smuggled}of", "letter of"])
            assert with_it @ without > 0.9999
    with_all, without = backend.encode_texts(["letter" + "".join(special), "letter" + " " * len(special)])
    assert with_all @ without > 0.9999


@Families
def test_the_fingerprint_names_family_and_weights(
    backends: dict[str, DualEncoder], checkpoints: dict[str, Path], tmp_path: Path, family: str
) -> None:
    same = backend_of(checkpoints[family]).fingerprint
    assert same == backends[family].fingerprint
    assert same.startswith(f"dual_encoder-{family}-")
    changed = shutil.copytree(checkpoints[family], tmp_path / "changed")
    weights = load_file(changed / "model.safetensors")
    name = next(iter(weights))
    save_file(weights | {name: weights[name] + 1}, changed / "model.safetensors", {"format": "pt"})
    words = shutil.copytree(checkpoints[family], tmp_path / "words")
    tokenizer = words / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    read = backend_of(checkpoints[family], fuse_text=True)
    assert (read.needs_text, backends[family].needs_text) == (True, False)
    assert len({same, backend_of(changed).fingerprint, backend_of(words).fingerprint, read.fingerprint}) == 4


def test_a_model_is_found_in_the_hub_s_cache_by_its_name(
    backends: dict[str, DualEncoder], checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "models--somebody--tiny-clip"
    shutil.copytree(checkpoints["clip"], kept / "snapshots" / "abc")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def refuse(*_: Any) -> None:
        raise AssertionError("something goes to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    backend = backend_of("somebody/tiny-clip")
    backend.load("cpu")
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert backend.fingerprint == backends["clip"].fingerprint
    with pytest.raises(ModelFailure, match="model_missing: somebody/else is no folder, and no model"):
        backend_of("somebody/else").load("cpu")


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFailure, match=r"model_missing: model\.weights is not set"):
        backend_of(None).load("cpu")
    with pytest.raises(ModelFailure, match=f"model_missing: {tmp_path}/nowhere is no folder"):
        backend_of(tmp_path / "nowhere").load("cpu")
    with pytest.raises(ModelFailure, match=f"model_missing: {tmp_path} holds no safetensors"):
        _ = backend_of(tmp_path).fingerprint


def test_pickled_weights_are_never_loaded(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoints["clip"], tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFailure, match=r"model_missing: .* pickled weights are never loaded"):
        backend_of(folder).load("cpu")


def test_another_kind_of_model_is_refused_with_those_that_are_known(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(checkpoints["clip"], tmp_path / "other")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"model_type": "clip",', '"model_type": "bert",'))
    with pytest.raises(ModelFailure, match="is a 'bert'; this backend knows clip, siglip, siglip2"):
        backend_of(folder).load("cpu")
    config.write_text("[]")
    with pytest.raises(ModelFailure, match=r"no config\.json that says what it is"):
        backend_of(folder).load("cpu")


def break_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"no weights")


def drop_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if name.endswith("layers.1.mlp.fc2.weight")))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def drop_scale(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop("logit_scale")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def drop_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def drop_padding(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text("{}")


def drop_ends(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"post_processor": {', '"post_processor": null, "was": {'))


def drop_processor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


def enlarge_pages(folder: Path) -> None:
    path = folder / "preprocessor_config.json"
    path.write_text(path.read_text().replace(f": {SIDE}", ": 42").replace('"patch_size": 7', '"patch_size": 14'))


@Families
@pytest.mark.parametrize(
    "harm",
    [
        break_weights,
        drop_weights,
        drop_scale,
        drop_tokenizer,
        drop_padding,
        drop_ends,
        drop_processor,
        enlarge_pages,
    ],
)
def test_a_checkpoint_whose_parts_are_missing_or_do_not_fit_is_not_loaded(
    checkpoints: dict[str, Path], tmp_path: Path, family: str, harm: Callable[[Path], None]
) -> None:
    folder = shutil.copytree(checkpoints[family], tmp_path / "harmed")
    harm(folder)
    with pytest.raises(ModelFailure, match=f"model_unloadable: the checkpoint in {folder}"):
        backend_of(folder).load("cpu")


def test_nothing_is_encoded_before_the_weights_are_there(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(ModelFailure, match="not_loaded"):
        backend_of(checkpoints["clip"]).encode_texts(["letter"])


def test_questions_are_answered_as_by_the_default_backend(backends: dict[str, DualEncoder]) -> None:
    answerer = backends["clip"].answerer(Asking())
    assert isinstance(answerer, Extractor)
    assert answerer.fingerprint.endswith("ocr_text-minilm-53aa51172d14")


def test_there_are_no_blocks_that_could_learn(backends: dict[str, DualEncoder]) -> None:
    with pytest.raises(RejectedInput, match="nothing_to_unfreeze"):
        backends["clip"].trainable(1)
    with pytest.raises(ModelFailure, match="checkpoint_unusable"):
        backends["clip"].tuned({})
