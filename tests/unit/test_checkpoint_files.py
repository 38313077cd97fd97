"""The file of a checkpoint: all of it or none, known by its hash, and nothing else taken for one."""

import hashlib
import json
import os
import pickle
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch

from core import checkpoints
from core.errors import ModelFailure, TransientFailure

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "anchors": torch.ones(4).half()}
ABOUT = {"class_set": "papers", "labelled": ["bill", "Straße"], "temperature": 1.25, "shape": {"hidden": None}}


def code_of(path: Path, sha256: str | None = None) -> str:
    with pytest.raises(ModelFailure) as raised:
        checkpoints.read(path, sha256)
    return raised.value.code


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "papers-1.safetensors"
    sha256 = checkpoints.write(path, TENSORS, ABOUT)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for tensors, about in (checkpoints.read(path, sha256), checkpoints.read(path)):
        assert about == ABOUT
        assert tensors.keys() == TENSORS.keys()
        assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_same_content_makes_the_same_file(tmp_path: Path) -> None:
    one = checkpoints.write(tmp_path / "one", TENSORS, ABOUT)
    assert checkpoints.write(tmp_path / "two", TENSORS, dict(reversed(ABOUT.items()))) == one


def test_parts_of_other_tensors_and_those_that_learn_are_written_as_they_are(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    checkpoints.write(tmp_path / "file", {"part": whole.T[1:], "learning": torch.nn.Parameter(whole)}, {})
    tensors, _ = checkpoints.read(tmp_path / "file")
    assert torch.equal(tensors["part"], whole.T[1:])
    assert torch.equal(tensors["learning"], whole)


def test_any_byte_that_changed_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    sha256 = checkpoints.write(path, TENSORS, ABOUT)
    data = path.read_bytes()
    for place in (0, 20, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert code_of(path, sha256) == "checkpoint_damaged"
    path.write_bytes(data[:-1])
    assert code_of(path, sha256) == "checkpoint_damaged"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        b"not a checkpoint at all",
        b"\xff" * 64,
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{}",
        (1000).to_bytes(8, "little") + b"{}",
        safetensors.torch.save(TENSORS),
        safetensors.torch.save(TENSORS, {"docintake": "{"}),
    ],
)
def test_what_is_no_checkpoint_is_not_taken_for_one(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert code_of(path) == "checkpoint_damaged"
    assert code_of(path, hashlib.sha256(data).hexdigest()) == "checkpoint_damaged"


def packed(header: object, body: bytes = b"\0" * 24) -> bytes:
    """A file as safetensors has it, whatever its header says."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


LIES = {
    "more than there is": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 4000]},
    "backwards": {"dtype": "F32", "shape": [2, 3], "data_offsets": [24, 0]},
    "another shape": {"dtype": "F32", "shape": [2, 300_000_000], "data_offsets": [0, 24]},
    "another type": {"dtype": "F64", "shape": [2, 3], "data_offsets": [0, 24]},
    "no type": {"dtype": "PICKLE", "shape": [2, 3], "data_offsets": [0, 24]},
    "a hole": {"dtype": "F32", "shape": [1], "data_offsets": [20, 24]},
    "overflow": {"dtype": "F32", "shape": [2**63, 2], "data_offsets": [0, 24]},
}


@pytest.mark.parametrize("tensor", LIES.values(), ids=LIES)
def test_a_header_that_lies_about_sizes_is_not_believed(tmp_path: Path, tensor: dict[str, object]) -> None:
    path, about = tmp_path / "file", {"__metadata__": {"docintake": "{}"}}
    true = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    path.write_bytes(packed({**about, "weight": true}))
    assert checkpoints.read(path)[0].keys() == {"weight"}
    path.write_bytes(packed({**about, "weight": tensor}))
    assert code_of(path) == "checkpoint_damaged"


def test_a_header_too_deep_for_its_reader_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes((200_000).to_bytes(8, "little") + b"[" * 200_000)
    assert code_of(path) == "checkpoint_damaged"


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_by_the_name_of_safetensors_is_never_unpickled(tmp_path: Path, how: str) -> None:
    path, mark = tmp_path / "papers-1.safetensors", tmp_path / "mark"
    if how == "torch":
        torch.save({"weight": Bomb(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb(mark)))
    assert code_of(path) == "checkpoint_damaged"
    assert code_of(path, hashlib.sha256(path.read_bytes()).hexdigest()) == "checkpoint_damaged"
    assert not mark.exists()


def test_a_link_is_not_followed_wherever_it_leads(tmp_path: Path) -> None:
    sha256 = checkpoints.write(tmp_path / "elsewhere" / "file", TENSORS, ABOUT)
    store = tmp_path / "store"
    store.mkdir()
    for target in (tmp_path / "elsewhere" / "file", tmp_path / "nowhere", store / "link"):
        (store / "link").symlink_to(target)
        assert code_of(store / "link", sha256) == "checkpoint_outside"
        (store / "link").unlink()
    # The store itself may be one: that is the operator's.
    (tmp_path / "mounted").symlink_to(tmp_path / "elsewhere")
    assert checkpoints.read(tmp_path / "mounted" / "file", sha256)[1] == ABOUT


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    assert code_of(tmp_path / "file") == "checkpoint_missing"


def test_a_file_that_is_larger_than_any_checkpoint_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    sha256 = checkpoints.write(path, TENSORS, ABOUT)
    monkeypatch.setattr(checkpoints, "_LARGEST", path.stat().st_size)
    assert checkpoints.read(path, sha256)[1] == ABOUT
    monkeypatch.setattr(checkpoints, "_LARGEST", path.stat().st_size - 1)
    assert code_of(path, sha256) == "checkpoint_damaged"


def test_a_file_that_is_gone_or_is_a_folder_is_missing(tmp_path: Path) -> None:
    assert code_of(tmp_path / "gone") == "checkpoint_missing"
    assert code_of(tmp_path) == "checkpoint_missing"


def test_a_write_that_fails_leaves_the_file_that_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    sha256 = checkpoints.write(path, TENSORS, ABOUT)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TransientFailure, match=r"store_not_writable: .* No space left"):
        checkpoints.write(path, {}, {})
    assert checkpoints.read(path, sha256)[1] == ABOUT
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_json_does_not_know_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        checkpoints.write(tmp_path / "file", TENSORS, {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a/..", "./a"])
def test_only_files_of_the_store_itself_are_in_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFailure, match=re.escape(f"checkpoint_outside: {name!r}")):
        checkpoints.file_in(tmp_path, name)
    assert checkpoints.file_in(tmp_path, "papers-1.safetensors") == tmp_path / "papers-1.safetensors"
