"""GPUs, on a machine that may have none: `nvidia-smi` is a script that prints what the real one does."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from core.gpu import Gpu, gpus

ONE = "b2a5e5a8-0d3c-7a34-bd24-6fd5b9d40a11"
OTHER = "77c0f1de-93a1-11ee-b9d1-0242ac120002"
SAID = f"GPU-{ONE}, NVIDIA H100 80GB HBM3, 81559, 80990\nGPU-{OTHER}, NVIDIA L4, 23034, 22478\n"


def smi(folder: Path, monkeypatch: pytest.MonkeyPatch, said: str, status: int = 0) -> None:
    program = folder / "nvidia-smi"
    (folder / "said").write_text(said)
    program.write_text(f'#!/bin/sh\n/bin/cat "{folder}/said"\nexit {status}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def seen_by_torch(monkeypatch: pytest.MonkeyPatch, *uuids: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda number: SimpleNamespace(uuid=uuids[number], name=f"Card {number}", total_memory=8 * 1024**3),
    )


def test_gpus_have_torch_s_names_in_torch_s_order_and_the_driver_s_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi(tmp_path, monkeypatch, SAID)
    seen_by_torch(monkeypatch, OTHER, ONE)
    first, second = gpus()
    assert first == Gpu("NVIDIA L4", "cuda:0", 23034 * 1024**2, 22478 * 1024**2)
    assert (second.device, second.name) == ("cuda:1", "NVIDIA H100 80GB HBM3")
    assert str(second) == "cuda:1 NVIDIA H100 80GB HBM3, 79.6 GiB, 79.1 GiB free"


def test_a_gpu_that_is_hidden_from_torch_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, monkeypatch, SAID)
    seen_by_torch(monkeypatch, OTHER)
    assert [gpu.name for gpu in gpus()] == ["NVIDIA L4"]


def test_gpus_that_torch_cannot_use_are_told_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, monkeypatch, SAID)
    seen_by_torch(monkeypatch)
    assert [(gpu.device, gpu.name) for gpu in gpus()] == [(None, "NVIDIA H100 80GB HBM3"), (None, "NVIDIA L4")]


@pytest.mark.parametrize(
    ("said", "status"),
    [("Failed to initialize NVML: Driver/library version mismatch\n", 18), ("No devices were found\n", 0)],
)
def test_without_word_from_the_driver_torch_tells_what_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, status: int
) -> None:
    smi(tmp_path, monkeypatch, said, status)
    seen_by_torch(monkeypatch, ONE)
    assert gpus() == (Gpu("Card 0", "cuda:0", 8 * 1024**3),)
    seen_by_torch(monkeypatch)
    assert gpus() == ()


def test_where_the_machine_s_memory_is_the_gpu_s_no_figure_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi(tmp_path, monkeypatch, f"GPU-{ONE}, NVIDIA GB10, [N/A], [N/A]\n")
    seen_by_torch(monkeypatch, ONE)
    (gpu,) = gpus()
    assert str(gpu) == "cuda:0 NVIDIA GB10"


def test_a_machine_without_the_driver_s_program_has_those_that_torch_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    seen_by_torch(monkeypatch)
    assert gpus() == ()
