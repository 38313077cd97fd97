import pytest
import torch

from core.backends.pretrained import dtype_on


def test_numbers_are_of_the_kind_that_the_device_is_fast_with(monkeypatch: pytest.MonkeyPatch) -> None:
    capability = (9, 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert dtype_on("cpu", "auto") == torch.float32
    assert dtype_on("cuda:1", "auto") == torch.bfloat16
    capability = (7, 5)
    assert dtype_on("cuda", "auto") == torch.float16
    assert dtype_on("cuda", "float32") == torch.float32
