"""The learned part: a small network that scores each candidate of a question, and that there is none."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from core.errors import ModelFailure
from core.extraction.signals import NONE_SIGNALS, SIGNALS

Floats = NDArray[np.float32]
FURTHEST: Final = 6.0
"""Standard deviations: signals beyond what was seen in training say no more than this."""
OPTIMISM: Final = 2.0
"""Taken off the score of there being no answer: people ask less often for what is missing than the training does."""
WEIGHTS: Final = Path(__file__).with_name("ranker.safetensors")


@dataclass(frozen=True, slots=True)
class Ranker:
    """Two perceptrons side by side: one scores candidates, the other that none of them is the answer.

    The tensors are those of `samples.ranker_training`: for each of `candidate` and `none`, `mean` and `scale` of its
    inputs, then `layers.N.weight` (outputs, inputs) and `layers.N.bias`; `temperature` calibrates both. `digest`
    names the weights.
    """

    tensors: dict[str, Floats]
    digest: str

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Self:
        """Raises ModelFailure(`reader_unloadable`)."""
        try:
            data = path.read_bytes()
            tensors = load(data)
        except (OSError, SafetensorError) as error:
            raise ModelFailure(
                "reader_unloadable", f"{path} cannot be loaded: {error}; install docintake anew"
            ) from error
        sizes = [tensors[f"{name}.mean"].size for name in ("candidate", "none") if f"{name}.mean" in tensors]
        if sizes != [len(SIGNALS), len(NONE_SIGNALS)]:
            raise ModelFailure(
                "reader_unloadable",
                f"{path} was trained on other signals than this version has; run `python -m samples.ranker_training`",
            )
        return cls(
            {name: value.astype(np.float32) for name, value in tensors.items()}, hashlib.sha256(data).hexdigest()
        )

    def probabilities(self, candidates: Floats, question: Floats) -> tuple[Floats, float]:
        """How likely each candidate (candidates, signals) is the answer, and that none is; they sum to 1."""
        scores = self._score("candidate", candidates)
        none = self._score("none", question[None, :]) - OPTIMISM
        logits = np.concatenate([scores, none]) / self.tensors["temperature"]
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        return shares[:-1], float(shares[-1])

    def _score(self, name: str, inputs: Floats) -> Floats:
        value: Floats = (inputs - self.tensors[f"{name}.mean"]) / self.tensors[f"{name}.scale"]
        value = np.clip(value, -FURTHEST, FURTHEST)
        layer = 0
        while f"{name}.layers.{layer}.weight" in self.tensors:
            if layer:
                value = np.maximum(value, 0)
            weight, bias = (self.tensors[f"{name}.layers.{layer}.{part}"] for part in ("weight", "bias"))
            value = value @ weight.T + bias
            layer += 1
        return value[:, 0]
