"""What is learned from labels: where documents and class descriptions lie in the space that they share."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from core.backends import Vectors
from core.errors import ModelFailure
from core.familiarity import Familiarity
from core.features import Features
from core.sketch import BUCKETS, Sketch, sketch_of

ALIGNMENT: Final = "1"
"""Version of this code: a checkpoint of another version is refused."""
START: Final = 1 / 0.07
"""The logit scale that training begins with (Radford et al. 2021, arXiv:2103.00020)."""
LARGEST: Final = 100.0
"""… and that it never exceeds."""

_BLOCKS: Final = "blocks."
_MODEL: Final = "model."

Pooling = Literal["mean", "cross_attention"]
Logits = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of an alignment. `buckets` is 0 where documents bring no bag of words; `shared`: documents and texts lie
    in one space from the start, so that training begins with what they are, and else with random projections.
    """

    document_width: int
    text_width: int
    buckets: int = BUCKETS
    shared: bool = True
    pooling: Pooling = "mean"
    hidden: int = 64


@dataclass(frozen=True, slots=True)
class Bags:
    """The words of a batch: those of document `i` are `places[starts[i]:starts[i + 1]]`, and what they count."""

    places: Tensor
    counts: Tensor
    starts: Tensor

    def projected(self, table: Tensor) -> Tensor:
        """(documents, width): the sums of the table's (buckets, width) rows."""
        return functional.embedding_bag(
            self.places, table, self.starts, mode="sum", per_sample_weights=self.counts.to(table.dtype)
        )


@dataclass(frozen=True, slots=True)
class Documents:
    """A batch: `tokens` (documents, tokens, document width), their `weights` (documents, tokens), 0 for padding, and
    the words that are on them. `base`: the tokens as the encoder gives them, where those are by blocks that learned.
    """

    tokens: Tensor
    weights: Tensor
    bags: Bags
    base: Tensor | None = None

    @classmethod
    def of(cls, sketches: Sequence[Sketch], shape: Shape, device: str | torch.device = "cpu") -> Self:
        """Padded to the longest document."""
        longest = max(len(sketch.tokens) for sketch in sketches)
        tokens = np.zeros((len(sketches), longest, shape.document_width), dtype=np.float32)
        weights = np.zeros((len(sketches), longest), dtype=np.float32)
        for row, sketch in enumerate(sketches):
            tokens[row, : len(sketch.tokens)] = sketch.tokens
            weights[row, : len(sketch.weights)] = sketch.weights
        starts = np.cumsum([0, *(len(sketch.places) for sketch in sketches[:-1])])
        bags = Bags(
            *(
                torch.from_numpy(part).to(device)
                for part in (
                    np.concatenate([sketch.places for sketch in sketches]).astype(np.int64),
                    np.concatenate([sketch.counts for sketch in sketches]),
                    starts,
                )
            )
        )
        return cls(torch.from_numpy(tokens).to(device), torch.from_numpy(weights).to(device), bags)

    def tuned(self, vectors: Tensor) -> Self:
        """The same documents with other tokens: (all tokens but padding, document width)."""
        tokens = torch.zeros_like(self.tokens)
        tokens[self.weights > 0] = vectors
        return replace(self, tokens=tokens, base=self.tokens)


class VisionLanguageAlignment(nn.Module):
    """Documents and texts → unit vectors of one space, whose scaled cosines say how well they fit.

    A document is its tokens' vectors, such as those of its pages or patches, pooled into one, normalised by layer and
    projected, and a bag of words projected beside it. A text is a vector with a residual adapter whose last layer
    starts as zero, so that descriptions nobody has labels for keep their geometry. In a shared space both start as
    the identity: `gain` is then exactly zero.

    While they learn, the last blocks of the document encoder are part of it: `blocks`, see core.backends.
    """

    blocks: nn.Module | None
    share: Tensor
    middle: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        if shape.shared and shape.document_width != shape.text_width:
            raise ValueError(f"a shared space has one width, not {shape.document_width} and {shape.text_width}")
        self.shape = shape
        width = shape.document_width
        self.pool = _CrossAttention(width) if shape.pooling == "cross_attention" else None
        self.document_norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, shape.text_width)
        self.words = nn.Parameter(torch.zeros(shape.buckets, shape.text_width)) if shape.buckets else None
        self.text_norm = nn.LayerNorm(shape.text_width)
        self.adapter = nn.Sequential(
            nn.Linear(shape.text_width, shape.hidden), nn.GELU(), nn.Linear(shape.hidden, shape.text_width)
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(START)))
        if not shape.shared:
            # What a shared space has its beginning for: how much of what was learned to believe.
            self.register_buffer("share", torch.ones(()))
            # Towers put all that they see into a narrow cone: what differs is seen from its middle.
            self.register_buffer("middle", torch.zeros(width))
        self.blocks = None
        for last in (self.adapter[-1], *([self.projection] if shape.shared else [])):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied by, in [1, LARGEST]; always float32."""
        return self.log_scale.float().clamp(0, math.log(LARGEST)).exp()

    def encode_documents(self, documents: Documents) -> Tensor:
        """(documents, text width), unit rows."""
        tokens, weights = documents.tokens, documents.weights
        vectors = _mean(tokens, weights)
        if self.pool is not None:
            vectors = vectors + self.pool(tokens, weights)
        if not self.shape.shared:
            vectors = vectors - self.middle
        # As long as the vectors themselves, so that one learning rate suits both.
        projected = self.projection(self.document_norm(vectors) / math.sqrt(self.shape.document_width))
        if self.shape.shared:
            projected = vectors + projected
        if self.words is not None:
            projected = projected + documents.bags.projected(self.words)
        return functional.normalize(projected, dim=-1)

    def encode_texts(self, vectors: Tensor) -> Tensor:
        """(texts, text width) → the same, unit rows."""
        adapted = self.adapter(self.text_norm(vectors)) / math.sqrt(self.shape.text_width)
        return functional.normalize(vectors + adapted, dim=-1)

    def gain(self, documents: Documents, texts: Tensor) -> Tensor:
        """How much better each text fits each document than before anything was learned: (documents, texts) logits,
        float32. `texts`: (texts, text width) as the encoder gives them.
        """
        return self.gain_of(self.encode_documents(documents), documents, texts)

    def gain_of(self, encoded: Tensor, documents: Documents, texts: Tensor, adapted: Tensor | None = None) -> Tensor:
        """`gain` of documents that are `encoded` already, and texts that are `adapted`, if they are."""
        if adapted is None:
            adapted = self.encode_texts(texts)
        # Logits are differences of near numbers: half precision is too coarse for them.
        with torch.autocast(encoded.device.type, enabled=False):
            return self._gain(encoded.float(), adapted.float(), documents, texts)

    def _gain(self, encoded: Tensor, adapted: Tensor, documents: Documents, texts: Tensor) -> Tensor:
        fits: Tensor = self.scale * (encoded @ adapted.T)
        if not self.shape.shared:
            return self.share * fits
        base = documents.tokens if documents.base is None else documents.base
        vectors = functional.normalize(_mean(base, documents.weights), dim=-1).float()
        return fits - START * (vectors @ functional.normalize(texts, dim=-1).float().T)

    def decayed(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The parameters that weight decay is for, and the others: scale, biases, norms and queries. No blocks'."""
        return decayed(parameter for name, parameter in self.named_parameters() if not name.startswith(_BLOCKS))


def decayed(parameters: Iterable[nn.Parameter]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parted into matrices, which weight decay is for, and others."""
    known = list(parameters)
    return [one for one in known if one.ndim == 2], [one for one in known if one.ndim != 2]


def _mean(tokens: Tensor, weights: Tensor) -> Tensor:
    return (tokens * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)


class _CrossAttention(nn.Module):
    """A learned query looks at the tokens and adds what it finds; it starts by adding nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        heads = next(count for count in (8, 4, 2, 1) if width % count == 0)
        self.query = nn.Parameter(torch.randn(1, 1, width) / math.sqrt(width))
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        nn.init.zeros_(self.attention.out_proj.weight)
        nn.init.zeros_(self.attention.out_proj.bias)

    def forward(self, tokens: Tensor, weights: Tensor) -> Tensor:
        query = self.query.expand(len(tokens), -1, -1)
        known = self.norm(tokens)
        found, _ = self.attention(query, known, known, key_padding_mask=weights == 0, need_weights=False)
        pooled: Tensor = found[:, 0]
        return pooled


@dataclass(frozen=True, slots=True)
class Learned:
    """What a checkpoint holds: a trained model, the names of the classes that it has seen labels of, which documents
    are familiar to it, the temperature that its logits are divided by, and the blocks of the document encoder that
    learned with it, if any did. `key` names these.
    """

    model: VisionLanguageAlignment
    labelled: frozenset[str]
    familiarity: Familiarity
    temperature: float
    blocks: Mapping[str, Tensor] = field(default_factory=dict)
    key: str | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", _key(self.blocks))

    def bind(self, names: Sequence[str], texts: Vectors) -> "Aligned":
        """Ready to serve these classes; `texts`: (classes, text width) as the encoder gives them."""
        known = torch.from_numpy(np.ascontiguousarray(texts, dtype=np.float32))
        with torch.inference_mode():
            adapted = self.model.encode_texts(known)
        return Aligned(self, np.array([name in self.labelled for name in names]), known, adapted)

    def tensors(self) -> dict[str, Tensor]:
        origin = self.familiarity.origin
        return {
            **{_MODEL + name: tensor for name, tensor in self.model.state_dict().items()},
            **{_BLOCKS + name: tensor for name, tensor in self.blocks.items()},
            "familiarity.anchors": torch.from_numpy(self.familiarity.anchors).half(),
            **({} if origin is None else {"familiarity.origin": torch.from_numpy(origin)}),
        }

    def about(self) -> dict[str, Any]:
        return {
            "alignment": ALIGNMENT,
            "shape": asdict(self.model.shape),
            "labelled": sorted(self.labelled),
            "temperature": self.temperature,
            "familiarity": {
                "steepness": self.familiarity.steepness,
                "middle": self.familiarity.middle,
            },
            **({"blocks": self.key} if self.blocks else {}),
        }

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> Self:
        """From what `tensors` and `about` gave. Raises ModelFailure(`checkpoint_unusable`) for anything else."""
        try:
            if about["alignment"] != ALIGNMENT:
                raise ModelFailure(
                    "checkpoint_unusable",
                    f"the checkpoint is of alignment version {about['alignment']}, this code of {ALIGNMENT}: retrain",
                )
            model = VisionLanguageAlignment(Shape(**about["shape"]))
            model.load_state_dict(under(_MODEL, tensors))
            anchors = np.ascontiguousarray(tensors["familiarity.anchors"].float().numpy())
            if not about["temperature"] > 0 or not all(tensor.isfinite().all() for tensor in tensors.values()):
                raise ValueError("no numbers to decide by")
            origin = tensors["familiarity.origin"].numpy() if "familiarity.origin" in tensors else None
            familiarity = Familiarity(anchors, **about["familiarity"], origin=origin)
            learned = cls(
                model.eval(),
                frozenset(about["labelled"]),
                familiarity,
                float(about["temperature"]),
                under(_BLOCKS, tensors),
            )
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelFailure(
                "checkpoint_unusable", f"the checkpoint does not fit this code ({type(error).__name__}): retrain"
            ) from error
        if learned.key != about.get("blocks"):
            raise ModelFailure("checkpoint_unusable", "the checkpoint's blocks are not those that it had: retrain")
        return learned


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _key(blocks: Mapping[str, Tensor]) -> str | None:
    if not blocks:
        return None
    digest = hashlib.sha256()
    for name, tensor in sorted(blocks.items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Aligned:
    """A checkpoint bound to the classes that it serves; immutable, and safe in many threads.

    `texts`: (classes, text width) as the encoder gives them, and `adapted` as the model does.
    """

    learned: Learned
    labelled: NDArray[np.bool_]
    texts: Tensor
    adapted: Tensor

    @property
    def temperature(self) -> float:
        return self.learned.temperature

    @property
    def key(self) -> str | None:
        return self.learned.key

    def adjust(self, logits: Logits, documents: Sequence[Sequence[Features]]) -> Logits:
        """(documents, classes) logits of documents of these pages, with what was learned added.

        Raises ModelFailure(`not_tuned`) where the pages lack what the checkpoint's own blocks make of them.
        """
        sketches = [sketch_of(pages) for pages in documents]
        gain = np.empty(logits.shape, dtype=np.float32)
        # Those of as many pages together: padded to the longest of all, they might not fit into memory.
        for count in {len(pages) for pages in documents}:
            rows = [row for row, pages in enumerate(documents) if len(pages) == count]
            gain[rows] = self._gain([documents[row] for row in rows], [sketches[row] for row in rows])
        return settle(logits, gain, self.labelled, self.learned.familiarity.of(sketches))

    def _gain(self, documents: Sequence[Sequence[Features]], sketches: Sequence[Sketch]) -> NDArray[np.float32]:
        model = self.learned.model
        with torch.inference_mode():
            batch = Documents.of(sketches, model.shape)
            if self.key is not None:
                tuned = [page.tuned_by(self.key) for pages in documents for page in pages]
                batch = batch.tuned(torch.from_numpy(np.stack(tuned)))
            gain: NDArray[np.float32] = model.gain_of(
                model.encode_documents(batch), batch, self.texts, self.adapted
            ).numpy()
        return gain


def settle(
    logits: Logits,
    gain: NDArray[np.floating[Any]],
    labelled: NDArray[np.bool_],
    familiar: NDArray[np.float64] | float,
) -> Logits:
    """Add what was learned: (…, classes) logits and gains, familiarity in [0, 1] of shape (…).

    Among classes that there are labels of, what was learned decides. How they stand beside classes without labels,
    and beside "none of these", moves only so far as the document is familiar: else a document of a class that nobody
    has labelled yet would be drawn to those that are.
    """
    settled = np.array(logits, dtype=np.float64)
    if labelled.any():
        before = settled[..., labelled]
        after = before + gain[..., labelled]
        lead = after.max(-1, keepdims=True) - before.max(-1, keepdims=True)
        settled[..., labelled] = after - (1 - np.asarray(familiar)[..., None]) * lead
    return settled
