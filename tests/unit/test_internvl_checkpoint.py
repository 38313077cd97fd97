"""Checkpoints are whole, of this machine, and of native classes, or they are refused."""

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_internvl import save_internvl, save_mpnet

from core.backends.internvl.checkpoint import Checkpoint
from core.backends.internvl.sentences import Sentences
from core.errors import ModelFailure


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_internvl(tmp_path_factory.mktemp("internvl"))


def test_the_digest_names_the_weights(folder: Path, tmp_path: Path) -> None:
    digest = Checkpoint.load(str(folder), "cpu").digest
    assert Checkpoint.load(str(folder), "cpu", "bfloat16").digest == digest
    changed = shutil.copytree(folder, tmp_path / "changed")
    weights = load_file(changed / "model.safetensors")
    name = next(iter(weights))
    save_file(weights | {name: weights[name] + 1}, changed / "model.safetensors", {"format": "pt"})
    assert Checkpoint.load(str(changed), "cpu").digest != digest


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFailure, match=f"model_missing: {tmp_path} holds no safetensors"):
        Checkpoint.load(str(tmp_path), "cpu")


@pytest.mark.parametrize("weights", ["OpenGVLab/None-such-hf", "/nowhere/at/all", ""])
def test_what_is_not_on_this_machine_is_not_fetched(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFailure, match="model_missing"):
        Checkpoint.load(weights, "cpu")


def test_a_repository_in_the_cache_of_the_hub_is_found_by_its_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models--OpenGVLab--Tiny-hf"
    shutil.copytree(folder, repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert Checkpoint.load("OpenGVLab/Tiny-hf", "cpu").digest == Checkpoint.load(str(folder), "cpu").digest


def test_the_model_is_made_of_the_numbers_that_were_asked_for(folder: Path) -> None:
    model = Checkpoint.load(str(folder), "cpu", "bfloat16").model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert not model.training


def break_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"no weights")


def drop_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if "multi_modal_projector" in name))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def change_shape(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "multi_modal_projector.linear_1.weight" in name)
    save_file(weights | {name: weights[name][1:].clone()}, folder / "model.safetensors", {"format": "pt"})


def change_chat(folder: Path) -> None:
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace("<|im_start|>", "[INST]"))


def drop_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def look_no_further_back(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"full_attention"', '"sliding_attention"'))


@pytest.mark.parametrize(
    "harm", [break_weights, drop_weights, change_shape, change_chat, drop_tokenizer, look_no_further_back]
)
def test_a_checkpoint_that_is_not_whole_is_not_loaded(folder: Path, tmp_path: Path, harm: Any) -> None:
    harmed = shutil.copytree(folder, tmp_path / "harmed")
    harm(harmed)
    with pytest.raises(ModelFailure, match=f"model_unloadable: the checkpoint in {harmed}"):
        Checkpoint.load(str(harmed), "cpu")


def test_a_sentence_encoder_that_is_not_whole_is_not_loaded_either(tmp_path: Path) -> None:
    folder = save_mpnet(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if "attention" in name))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelFailure, match="model_unloadable"):
        Sentences.load(str(folder), "cpu")
