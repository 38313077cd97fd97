"""The last blocks of a sentence encoder apart from the rest, so that they can learn which page is what."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from core.backends import Vectors
from core.errors import ModelFailure
from core.features import page_vector

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_TOGETHER: Final = 32
"""Texts that are padded to one length."""


def bert_of(model: "SentenceTransformer") -> Any:
    """The transformer in it, with `embeddings` and `encoder.layer`."""
    return model[0].auto_model


@dataclass(frozen=True, slots=True)
class _Below:
    """A model up to its last `blocks` blocks, which nothing changes."""

    model: "SentenceTransformer"
    blocks: int

    def __deepcopy__(self, _: Any) -> Self:
        return self

    def __call__(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """(texts, tokens, dimensions) float32, and (texts, tokens): which of them are no padding."""
        bert = bert_of(self.model)
        told = self.model.tokenizer(
            texts, padding=True, truncation=True, max_length=self.model.max_seq_length, return_tensors="pt"
        ).to(bert.device)
        known = told["attention_mask"].bool()
        with torch.no_grad():
            hidden = bert.embeddings(input_ids=told["input_ids"], token_type_ids=told["token_type_ids"])
            for layer in bert.encoder.layer[: -self.blocks]:
                hidden = layer(hidden, known[:, None, None, :])
        return hidden.float(), known


class Blocks(nn.Module):
    """Prepared pages → (pages, dimensions), as `core.features.features_of` makes them, by last blocks of its own."""

    def __init__(self, below: _Below, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self._below = below

    @classmethod
    def of(cls, model: "SentenceTransformer", blocks: int) -> Self:
        """With copies of that model's last blocks."""
        layers = [copy.deepcopy(layer).float() for layer in bert_of(model).encoder.layer[-blocks:]]
        return cls(_Below(model, blocks), layers).eval()

    @classmethod
    def restore(cls, model: "SentenceTransformer", state: Mapping[str, Tensor]) -> Self:
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
        texts = [text for parts in batch for text in parts]
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors = torch.cat(
            [
                self._vectors([texts[place] for place in order[start : start + _TOGETHER]])
                for start in range(0, len(order), _TOGETHER)
            ]
        )
        in_place = vectors[torch.tensor(order, device=vectors.device).argsort()]
        return torch.stack([page_vector(parts) for parts in torch.split(in_place, [len(parts) for parts in batch])])

    def encode(self, batch: Sequence[Sequence[str]]) -> list[Vectors]:
        """The same as arrays, while nothing is learned."""
        with torch.inference_mode():
            return list(self(batch).cpu().numpy())

    def _vectors(self, texts: list[str]) -> Tensor:
        """(texts, dimensions), unit rows."""
        hidden, known = self._below(texts)
        for layer in self.layers:
            hidden = checkpoint(layer, hidden, known[:, None, None, :], use_reentrant=False, preserve_rng_state=False)
        weights = known[..., None].float()
        return functional.normalize((hidden.float() * weights).sum(1) / weights.sum(1), dim=-1)
