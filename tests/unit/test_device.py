import os

import pytest

from core.errors import RejectedInput
from worker import device
from worker.device import VISIBLE, Device, pin


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_gpus", lambda: 2)
    # Set first, so that what a test makes of it is undone as well.
    monkeypatch.setenv(VISIBLE, "")
    monkeypatch.delenv(VISIBLE)


def test_all_devices_are_all_gpus_or_else_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Device.choose("all") == [Device("cuda:0", "gpu0"), Device("cuda:1", "gpu1")]
    monkeypatch.setattr(device, "_gpus", lambda: 0)
    assert Device.choose("all") == [Device("cpu", "cpu0")]


def test_devices_are_chosen_by_number_and_the_cpu_as_often_as_one_likes() -> None:
    assert Device.choose("1") == [Device("cuda:1", "gpu1")]
    assert Device.choose("0, 1,cpu") == [Device("cuda:0", "gpu0"), Device("cuda:1", "gpu1"), Device("cpu", "cpu2")]
    assert Device.choose("cpu,cpu") == [Device("cpu", "cpu0"), Device("cpu", "cpu1")]


@pytest.mark.parametrize("chosen", ["2", "0,0", "-1", "gpu0", "", "0,all", "cpu,2"])
def test_devices_that_there_are_not_are_refused_with_those_that_there_are(chosen: str) -> None:
    with pytest.raises(RejectedInput, match=r"unknown_device.*there are 2 GPUs here"):
        Device.choose(chosen)


def test_a_pinned_process_sees_its_own_gpu_alone() -> None:
    assert pin("cuda:1") == "cuda"
    assert os.environ[VISIBLE] == "1"


def test_a_gpu_is_counted_among_those_that_the_process_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "3, GPU-5f1c")
    assert pin("cuda:1") == "cuda"
    assert os.environ[VISIBLE] == "GPU-5f1c"
    with pytest.raises(RejectedInput, match="leaves 1 GPUs"):
        pin("cuda:1")


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda"])
def test_what_names_no_gpu_pins_to_none(name: str) -> None:
    assert pin(name) == name
    assert VISIBLE not in os.environ


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "CPU", "cuda:0,1"])
def test_a_device_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(RejectedInput, match="unknown_device"):
        pin(name)
