"""Making probabilities mean what they say: one temperature, fitted on documents that nothing was learned from."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_PULL: Final = 4.0
"""How many documents the belief weighs that logits are right as they are: a few that all went well prove little."""


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """What to divide (documents, classes) logits by so that their softmax is likeliest (Guo et al. 2017,
    arXiv:1706.04599), pulled towards 1; of no documents it is 1.
    """
    if not len(labels):
        return 1.0
    candidates = np.exp(np.linspace(np.log(0.2), np.log(10), 400))
    costs = [
        cross_entropy(logits / candidate, labels) * len(labels) + _PULL * np.log(candidate) ** 2
        for candidate in candidates
    ]
    return float(candidates[int(np.argmin(costs))])


def cross_entropy(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Mean negative log-likelihood, in nats."""
    best = logits.max(axis=1, keepdims=True)
    whole = best[:, 0] + np.log(np.exp(logits - best).sum(axis=1))
    return float(np.mean(whole - logits[np.arange(len(labels)), labels]))
