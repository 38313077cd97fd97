"""What there is to know about a model of transformers as it was loaded."""

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import nn

_KERNELS: Final = {
    "flash": "flash_sdp_enabled",
    "memory-efficient": "mem_efficient_sdp_enabled",
    "cuDNN": "cudnn_sdp_enabled",
    "math": "math_sdp_enabled",
}
"""Of torch's scaled dot product attention on a GPU, and what says in `torch.backends.cuda` whether it may be used."""


def about_module(module: "nn.Module", attention: str | None = None) -> dict[str, str]:
    """Its `dtype`s, the one of most weights first, how it does `attention`, and its `parameters`.

    `attention` is for a module whose parts do not say.
    """
    weights = list(module.parameters())
    dtypes: Counter[str] = Counter()
    for weight in weights:
        dtypes[str(weight.dtype).removeprefix("torch.")] += weight.numel()
    # Towers may do it in different ways.
    configs = (getattr(part, "config", None) for part in module.modules())
    said = {str(found) for config in configs if (found := getattr(config, "_attn_implementation", None))}
    ways = [attention] if attention else sorted(said)
    on_gpu = any(weight.device.type == "cuda" for weight in weights)
    return {
        "dtype": " and ".join(dtype for dtype, _ in dtypes.most_common()),
        "attention": " and ".join(f"{name}{_kernels() if on_gpu and name == 'sdpa' else ''}" for name in ways),
        "parameters": f"{dtypes.total():,}",
    }


def _kernels() -> str:
    import torch

    return f" ({', '.join(name for name, asked in _KERNELS.items() if getattr(torch.backends.cuda, asked)())})"
