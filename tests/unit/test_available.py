import pytest
import torch

from core.device import available
from core.errors import ModelFailure


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch says on a machine with two of them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("two_gpus")
def test_gpus_are_taken_by_name_and_by_themselves() -> None:
    assert [available(name) for name in ("auto", "cuda", "cuda:1", "cpu")] == ["cuda", "cuda", "cuda:1", "cpu"]


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_beyond_the_last_is_refused_with_the_name_of_that() -> None:
    with pytest.raises(ModelFailure, match=r"no_such_device: .*'cuda:2': the last of its GPUs is cuda:1"):
        available("cuda:2")


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_models_run_on_the_cpu_unless_one_is_asked_for() -> None:
    assert [available(name) for name in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(ModelFailure, match=r"no_such_device: .*finds no GPU for device 'cuda:0'"):
        available("cuda:0")


def test_a_name_that_torch_does_not_know_is_refused_with_those_it_does() -> None:
    with pytest.raises(ModelFailure, match=r"no_such_device: .*'gpu': set model\.device to `auto`, `cpu`"):
        available("gpu")
