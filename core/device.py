"""The device that a model runs on."""

from core.errors import ModelFailure


def available(name: str) -> str:
    """What torch calls the device of that name; `auto` is a GPU where there is one, and else the CPU.

    Raises ModelFailure(`no_such_device`).
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelFailure(
            "no_such_device", f"torch knows no device {name!r}: set model.device to `auto`, `cpu`, `cuda` or `cuda:1`"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelFailure(
            "no_such_device",
            f"torch {torch.__version__} finds no GPU for device {name!r}: install its CUDA build and a driver, or "
            "set model.device to `auto` or `cpu`",
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelFailure(
            "no_such_device",
            f"torch sees no device {name!r}: the last of its GPUs is cuda:{torch.cuda.device_count() - 1}; set "
            "model.device to one of them, or look at CUDA_VISIBLE_DEVICES",
        )
    return name
