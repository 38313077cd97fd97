import json
from pathlib import Path

import pytest

from core.settings import Model
from core.weights import at_hand, cache, find


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, which is not there yet."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def checkpoint(folder: Path, config: str = '{"model_type": "clip"}') -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config)
    (folder / "model.safetensors").write_bytes(b"....")
    return folder


def cached(hub: Path, name: str, commit: str = "abc", kind: str = "models") -> Path:
    kept = hub / f"{kind}--{name.replace('/', '--')}"
    for folder in ("blobs", "refs"):
        (kept / folder).mkdir(parents=True, exist_ok=True)
    (kept / "refs" / "main").write_text(commit)
    return checkpoint(kept / "snapshots" / commit)


def test_a_checkpoint_is_found_by_its_folder_and_by_its_name_in_the_cache(hub: Path, tmp_path: Path) -> None:
    assert cache() == hub
    folder = checkpoint(tmp_path / "clip")
    found = find(str(folder))
    assert found
    assert (found.folder, found.model_type, found.size, found.missing) == (folder, "clip", 4, ())
    assert found.use == ("dual_encoder", "weights")
    assert find("somebody/clip") is None
    snapshot = cached(hub, "somebody/clip")
    again = find("somebody/clip")
    assert again
    assert (again.name, again.folder) == ("somebody/clip", snapshot)


@pytest.mark.parametrize("name", ["nowhere", "no/such/folder", "somebody/else", "a folder"])
def test_names_of_nothing_find_nothing(name: str) -> None:
    assert find(name) is None


def test_a_folder_without_safetensors_is_none(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert find(str(folder)) is None


@pytest.mark.parametrize("config", ["", "[]", "{}", "\x00"])
def test_a_checkpoint_that_does_not_say_what_it_is_is_for_nothing(tmp_path: Path, config: str) -> None:
    found = find(str(checkpoint(tmp_path / "odd", config)))
    assert found
    assert (found.model_type, found.use) == ("", None)


def test_shards_that_the_index_lists_and_nobody_fetched_are_missing(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "half")
    shards = ("model.safetensors", "two.safetensors", "three.safetensors", "two.safetensors")
    index = {"weight_map": {str(number): shard for number, shard in enumerate(shards)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    found = find(str(folder))
    assert found
    assert found.missing == ("three.safetensors", "two.safetensors")


def test_what_the_settings_name_comes_first_and_once(hub: Path, tmp_path: Path) -> None:
    assert at_hand(Model()) == ()
    folder = checkpoint(tmp_path / "clip")
    for name in ("somebody/a", "somebody/b"):
        cached(hub, name)
    cached(hub, "somebody/data", kind="datasets")
    settings = Model(weights="somebody/b", text_weights=str(folder))
    assert [item.name for item in at_hand(settings)] == ["somebody/b", str(folder), "somebody/a"]


def test_an_older_revision_is_known_by_its_folder(hub: Path) -> None:
    old = cached(hub, "somebody/clip", "abc")
    cached(hub, "somebody/clip", "def")
    assert sorted(item.name for item in at_hand(Model())) == sorted([str(old), "somebody/clip"])
