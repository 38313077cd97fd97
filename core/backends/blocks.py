"""The last blocks of a sentence encoder apart from the rest, so that they can learn which page is what."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from core.backends import Vectors
from core.backends.minilm import MiniLM, by_length, pooled
from core.errors import ModelFailure
from core.features import page_vector


@dataclass(frozen=True, slots=True)
class _Below:
    """A model up to its last `blocks` blocks, which nothing changes."""

    model: MiniLM
    blocks: int

    def __deepcopy__(self, _: Any) -> Self:
        return self

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(texts, tokens, dimensions) float32, and (texts, tokens): which of them are no padding."""
        with torch.no_grad():
            hidden, known = self.model.embed(texts)
            for layer in self.model.layers[: -self.blocks]:
                hidden = layer(hidden, known)
        return hidden.float(), known


class Blocks(nn.Module):
    """Prepared pages → (pages, dimensions), as `core.features.features_of` makes them, by last blocks of its own."""

    def __init__(self, below: _Below, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self._below = below

    @classmethod
    def of(cls, model: MiniLM, blocks: int) -> Self:
        """With copies of that model's last blocks."""
        layers = [copy.deepcopy(layer).float() for layer in model.layers[-blocks:]]
        return cls(_Below(model, blocks), layers).eval()

    @classmethod
    def restore(cls, model: MiniLM, state: Mapping[str, Tensor]) -> Self:
        """With the blocks of that state. Raises ModelFailure(`checkpoint_unusable`) where they are not its own."""
        try:
            blocks = cls.of(model, len({name.split(".")[1] for name in state}))
            blocks.load_state_dict(dict(state))
        except (IndexError, RuntimeError) as error:
            raise ModelFailure(
                "checkpoint_unusable", "the checkpoint's blocks are not those of this encoder: retrain"
            ) from error
        return blocks

    def train(self, mode: bool = True) -> Self:
        # Without dropout: features are cached without it, and chance would have to be saved for a run to go on alike.
        del mode
        return super().train(mode=False)

    def forward(self, batch: Sequence[Sequence[str]]) -> Tensor:
        vectors = by_length([text for parts in batch for text in parts], self._vectors)
        return torch.stack([page_vector(parts) for parts in torch.split(vectors, [len(parts) for parts in batch])])

    def encode(self, batch: Sequence[Sequence[str]]) -> list[Vectors]:
        """The same as arrays, while nothing is learned."""
        with torch.inference_mode():
            return list(self(batch).cpu().numpy())

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        hidden, known = self._below(texts)
        for layer in self.layers:
            hidden = checkpoint(layer, hidden, known, use_reentrant=False, preserve_rng_state=False)
        return pooled(hidden, known)
