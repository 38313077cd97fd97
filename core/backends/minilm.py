"""all-MiniLM-L6-v2 in torch alone: importing transformers and sentence-transformers takes longer than all else.

Sources: Wang et al. 2020, arXiv:2002.10957; Devlin et al. 2018, arXiv:1810.04805. Names are those of the checkpoint.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

WIDTH: Final = 384
_HEADS: Final = 12
_LAYERS: Final = 6
_WORDS: Final = 30522
_POSITIONS: Final = 512
_LONGEST: Final = 256
"""Tokens of a text that count."""
_TOGETHER: Final = 32
"""Texts that are padded to one length."""
_UNUSED: Final = ("pooler.", "embeddings.position_ids")


class Layer(nn.Module):
    """One block: (texts, tokens, WIDTH), and which tokens are no padding → as many anew."""

    def __init__(self) -> None:
        super().__init__()
        linear = {name: nn.Linear(WIDTH, WIDTH) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict({"self": nn.ModuleDict(linear), "output": _output(WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, 4 * WIDTH)})
        self.output = _output(4 * WIDTH)

    def forward(self, hidden: Tensor, known: Tensor) -> Tensor:
        own: Any = self.attention["self"]
        query, key, value = (
            own[name](hidden).unflatten(-1, (_HEADS, -1)).transpose(1, 2) for name in ("query", "key", "value")
        )
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=known[:, None, None, :])
        hidden = _normed(self.attention["output"], seen.transpose(1, 2).flatten(-2), hidden)
        return _normed(self.output, functional.gelu(self.intermediate["dense"](hidden)), hidden)


def _output(width: int) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(width, WIDTH), "LayerNorm": nn.LayerNorm(WIDTH, eps=1e-12)})


def _normed(output: Any, made: Tensor, hidden: Tensor) -> Tensor:
    normed: Tensor = output["LayerNorm"](output["dense"](made) + hidden)
    return normed


class MiniLM(nn.Module):
    """Texts → unit vectors, mean-pooled."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        tokenizer.enable_truncation(_LONGEST)
        tokenizer.enable_padding()
        self._tokenizer = tokenizer
        sizes = {"word": _WORDS, "position": _POSITIONS, "token_type": 2}
        tables = {f"{name}_embeddings": nn.Embedding(size, WIDTH) for name, size in sizes.items()}
        self.embeddings = nn.ModuleDict({**tables, "LayerNorm": nn.LayerNorm(WIDTH, eps=1e-12)})
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(_LAYERS))})

    @classmethod
    def load(cls, folder: Path, device: str) -> Self:
        """From the files of the published checkpoint. Raises OSError, RuntimeError or ValueError."""
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more precise
            raise ValueError(f"tokenizer.json: {error}") from error
        state = load_file(folder / "model.safetensors", device)
        with torch.device("meta"):
            model = cls(tokenizer)
        weights = {name: weight for name, weight in state.items() if not name.startswith(_UNUSED)}
        model.load_state_dict(weights, assign=True)
        return model.eval()

    @property
    def layers(self) -> Sequence[Layer]:
        return self.encoder["layer"]  # type: ignore[return-value]

    def embed(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """What the first block gets: (texts, tokens, WIDTH), and (texts, tokens): which of them are no padding."""
        told = self._tokenizer.encode_batch(list(texts))
        tables: Any = self.embeddings
        device = tables["LayerNorm"].weight.device
        ids = torch.tensor([one.ids for one in told], device=device)
        known = torch.tensor([one.attention_mask for one in told], device=device, dtype=torch.bool)
        hidden = tables["word_embeddings"](ids) + tables["token_type_embeddings"].weight[0]
        hidden = hidden + tables["position_embeddings"].weight[: ids.shape[1]]
        return tables["LayerNorm"](hidden), known

    def forward(self, texts: Sequence[str]) -> Tensor:
        """(texts, WIDTH) float32."""
        return by_length(texts, self._vectors)

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        hidden, known = self.embed(texts)
        for layer in self.layers:
            hidden = layer(hidden, known)
        return pooled(hidden, known)


def pooled(hidden: Tensor, known: Tensor) -> Tensor:
    """(texts, dimensions), unit rows: the mean of each text's tokens."""
    weights = known[..., None].float()
    return functional.normalize((hidden.float() * weights).sum(1) / weights.sum(1), dim=-1)


def by_length(texts: Sequence[str], encode: Callable[[Sequence[str]], Tensor]) -> Tensor:
    """One row a text, in order, while texts of like length go together and little is padding."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    starts = range(0, len(order), _TOGETHER)
    rows = torch.cat([encode([texts[place] for place in order[start : start + _TOGETHER]]) for start in starts])
    return rows[torch.tensor(order, device=rows.device).argsort()]
