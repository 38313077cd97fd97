"""Examples as numbers, ready for batches: computed once, before training begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.alignment import Documents, Shape, VisionLanguageAlignment
from core.backends import Vectors
from core.class_set import ClassSet
from core.classify import Classifier
from core.sketch import Sketch, sketch_of
from core.training.captions import augmented
from core.training.dataset import Example
from core.zero_shot import EncodeTexts

Rows = NDArray[np.int64]
"""Numbers of examples in a corpus."""

_TOGETHER: Final = 256
"""Documents whose logits are computed at a time."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """N examples among C classes, whose order is the classifier's.

    `base`: (N, C) and `outside`: (N,) logits by descriptions alone; `labels`: (N,) numbers of classes; `captions`:
    each example's, as rows of `caption_vectors`; `prepared`: its pages, for blocks that learn.
    """

    sketches: list[Sketch]
    base: NDArray[np.float64]
    outside: NDArray[np.float64]
    labels: NDArray[np.int64]
    captions: list[list[int]]
    caption_vectors: Vectors
    prepared: list[tuple[Any, ...]]

    @classmethod
    def build(
        cls,
        examples: Sequence[Example],
        class_set: ClassSet,
        classifier: Classifier,
        encode_texts: EncodeTexts,
        least_captions: int,
    ) -> Self:
        """`classifier` is one of that class set, with nothing learned. Raises what `encode_texts` raises."""
        place = {name: index for index, name in enumerate(classifier.names)}
        described = {item.name: item for item in class_set.classes}
        parts = [examples[start : start + _TOGETHER] for start in range(0, len(examples), _TOGETHER)]
        logits = [classifier.logits([example.pages for example in part]) for part in parts]
        written = [augmented(example.captions, described[example.label], least_captions) for example in examples]
        row_of = {caption: row for row, caption in enumerate(dict.fromkeys(text for own in written for text in own))}
        return cls(
            sketches=[sketch_of(example.pages) for example in examples],
            base=np.concatenate([np.zeros((0, len(place))), *(classes for classes, _ in logits)]),
            outside=np.concatenate([np.zeros(0), *(outside for _, outside in logits)]),
            labels=np.array([place[example.label] for example in examples], dtype=np.int64),
            captions=[[row_of[text] for text in own] for own in written],
            caption_vectors=encode_texts(list(row_of)) if row_of else classifier.class_vectors[:0],
            prepared=[example.prepared for example in examples],
        )

    def __len__(self) -> int:
        return len(self.sketches)

    def documents(self, rows: Rows, shape: Shape, device: torch.device) -> Documents:
        """Those examples as the model takes them."""
        return Documents.of([self.sketches[row] for row in rows], shape, device)

    def seen_by(self, model: VisionLanguageAlignment, rows: Rows, device: torch.device) -> Documents:
        """The same, with tokens by the blocks that learn, if any do."""
        documents = self.documents(rows, model.shape, device)
        if model.blocks is None:
            return documents
        return documents.tuned(model.blocks([page for row in rows for page in self.prepared[row]]))

    def logits(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """`base` and `outside` of those examples, float32."""
        return torch.from_numpy(self.base[rows]).float(), torch.from_numpy(self.outside[rows]).float()


def balanced(labels: NDArray[np.int64], rows: Rows, generator: torch.Generator) -> Rows:
    """As many draws as there are rows, in which every class comes up as often as any other, give or take one.

    A class's documents take turns, in an order that is drawn anew each time.
    """

    def shuffled(values: Rows) -> Rows:
        order: Rows = values[torch.randperm(len(values), generator=generator).numpy()]
        return order

    classes = np.unique(labels[rows])
    decks = {int(name): shuffled(rows[labels[rows] == name]) for name in classes}
    drawn: list[int] = []
    round_ = 0
    while len(drawn) < len(rows):
        drawn += [int(decks[int(name)][round_ % len(decks[int(name)])]) for name in shuffled(classes)]
        round_ += 1
    return np.array(drawn[: len(rows)], dtype=np.int64)
