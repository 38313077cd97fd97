"""The device that a model runs on."""

from core.errors import ModelFailure


def available(name: str) -> str:
    """What torch calls the device of that name; `auto` is a GPU where there is one, and else the CPU.

    Raises ModelFailure(`no_such_device`).
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ModelFailure(
            "no_such_device",
            f"torch {torch.__version__} finds no GPU for device {name!r}: install its CUDA build and a driver, or "
            "set model.device to `auto` or `cpu`",
        )
    return name
