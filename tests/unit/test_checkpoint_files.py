"""The file of a checkpoint: all of it or none, known by its hash, and nothing else taken for one."""

import hashlib
import os
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
