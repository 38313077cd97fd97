import numpy as np
import pytest
import torch
from torch.nn import functional

from core.training.calibration import cross_entropy, fit_temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5, 6.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_known_temperature_is_found_again(temperature: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    honest = random.normal(0, 2, (3000, 5))
    # The largest of logits with Gumbel noise is drawn as their softmax says.
    labels = (honest + random.gumbel(size=honest.shape)).argmax(axis=1)
    assert fit_temperature(temperature * honest, labels) == pytest.approx(temperature, rel=0.1)


@pytest.mark.parametrize("margin", [0.5, 1, 2, 4, 10, 100])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_few_documents_that_all_went_well_prove_little(count: int, margin: float) -> None:
    logits = np.tile([margin, 0, 0], (count, 1))
    assert 0.5 < fit_temperature(logits, np.zeros(count, dtype=np.int64)) <= 1.01


def test_a_few_that_all_went_wrong_prove_little_either() -> None:
    assert 1 < fit_temperature(np.array([[2.0, 0, 0]]), np.array([1])) < 2


def test_of_no_documents_it_is_one() -> None:
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)) == 1


def test_cross_entropy_is_what_torch_says_it_is() -> None:
    random = np.random.default_rng(1)
    logits, labels = random.normal(0, 300, (50, 7)), random.integers(7, size=50)
    expected = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)).item()
    assert cross_entropy(logits, labels) == pytest.approx(expected, rel=1e-12)
