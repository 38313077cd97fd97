"""How well pages fit classes by how likely a model is to call them so."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Self

import numpy as np

from core.backends import EncodePages, Vectors
from core.class_set import ClassSet
from core.errors import ModelFailure
from core.features import Features
from core.prompts import prompts_of
from core.zero_shot import EncodeTexts, Scores, means_of

LIKELIHOODS: Final = "1"
"""Version of the code that scores: scores of another version are made anew."""
NONE_OF_THESE: Final = "something else"
"""What a page is called that is of no class."""
TEMPERATURE: Final = 0.4
"""Makes logits of mean logarithms: names have two or three tokens, whose logarithms add up. Not fitted; what is
learned from labels brings a temperature of its own."""


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """A ZeroShot. Scores are made once a page, by an encoder, and stored with it; only arithmetic is left to do here.

    `key` names what makes the scores, `encoder`: prepared pages → (C + 1,) float32 each, in the order of `names`, and
    last the one of "none of these".
    """

    names: tuple[str, ...]
    """Sorted."""
    class_vectors: Vectors
    """(C, dimensions): what the encoder of texts makes of the classes, unit rows."""
    key: str
    encoder: EncodePages

    @classmethod
    def build(
        cls,
        class_set: ClassSet,
        encode_texts: EncodeTexts,
        score: Callable[[tuple[str, ...]], EncodePages],
        told: str,
    ) -> Self:
        """`score` makes an encoder of things that a page may be called, which gives a number for each; `told` is what
        its numbers depend on beside these and the model.
        """
        classes = sorted(class_set.classes, key=lambda item: item.name)
        calls = (*(item.words for item in classes), NONE_OF_THESE)
        return cls(
            names=tuple(item.name for item in classes),
            class_vectors=means_of(encode_texts, [prompts_of(item) for item in classes]),
            key=hashlib.sha256(json.dumps([LIKELIHOODS, told, calls]).encode()).hexdigest()[:16],
            encoder=score(calls),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # The model stays where it is: what goes to another process decides about pages that it has seen.
        return type(self), (self.names, self.class_vectors, self.key, _elsewhere)

    @property
    def meanings(self) -> Vectors:
        return self.class_vectors

    @property
    def encoders(self) -> Mapping[str, EncodePages]:
        """What pages have to be `tuned` by."""
        return {self.key: self.encoder}

    def scores(self, pages: Sequence[Features]) -> Scores:
        """Raises ModelFailure(`not_tuned`) where the encoder has not seen a page."""
        return np.stack([page.tuned_by(self.key) for page in pages]).astype(np.float64)

    def logits(self, scores: Scores) -> tuple[Scores, Scores]:
        logits: Scores = scores / TEMPERATURE
        return logits[:, :-1], logits[:, -1]


def _elsewhere(_pages: Sequence[Any]) -> NoReturn:
    raise ModelFailure("not_tuned", "the model that encodes pages is in another process: a fault in the caller")
