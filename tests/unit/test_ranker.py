from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from core.errors import ModelFailure
from core.extraction.ranker import FURTHEST, WEIGHTS, Ranker
from core.extraction.signals import NONE_SIGNALS, SIGNALS


def noise(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    return Ranker.load()


@pytest.mark.parametrize("count", [0, 1, 50])
def test_all_that_can_be_the_answer_and_that_nothing_is_are_certain_together(ranker: Ranker, count: int) -> None:
    shares, missing = ranker.probabilities(noise(count, len(SIGNALS)), noise(len(NONE_SIGNALS)))
    assert shares.shape == (count,)
    assert ((shares >= 0) & (shares <= 1)).all()
    assert shares.sum() + missing == pytest.approx(1, abs=1e-5)


def test_without_candidates_nothing_is_the_answer(ranker: Ranker) -> None:
    _, missing = ranker.probabilities(noise(0, len(SIGNALS)), noise(len(NONE_SIGNALS)))
    assert missing == 1


def test_candidates_alike_are_as_likely_wherever_they_stand(ranker: Ranker) -> None:
    candidates = noise(5, len(SIGNALS))
    shares, missing = ranker.probabilities(candidates, noise(len(NONE_SIGNALS)))
    turned, still_missing = ranker.probabilities(candidates[::-1], noise(len(NONE_SIGNALS)))
    np.testing.assert_allclose(turned[::-1], shares, atol=1e-6)
    assert still_missing == pytest.approx(missing, abs=1e-6)


def test_signals_far_beyond_training_say_no_more_than_those_at_its_edge() -> None:
    sum_of_two = {
        f"{name}.{part}": np.array(value, dtype=np.float32)
        for name in ("candidate", "none")
        for part, value in {
            "mean": [0, 0],
            "scale": [1, 1],
            "layers.0.weight": [[1, 1]],
            "layers.0.bias": [0],
        }.items()
    }
    ranker = Ranker({**sum_of_two, "temperature": np.ones(1, dtype=np.float32)}, "")
    candidates = np.array([[FURTHEST, 0], [1e6, 0], [1, 1]], dtype=np.float32)
    shares, missing = ranker.probabilities(candidates, np.array([FURTHEST, 0], dtype=np.float32))
    _, beyond = ranker.probabilities(candidates, np.array([1e6, 0], dtype=np.float32))
    assert shares[0] == shares[1] > shares[2]
    assert beyond == missing


def test_the_digest_names_the_weights(ranker: Ranker, tmp_path: Path) -> None:
    same, other = tmp_path / "same.safetensors", tmp_path / "other.safetensors"
    data = WEIGHTS.read_bytes()
    same.write_bytes(data)
    other.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert Ranker.load(same).digest == ranker.digest != Ranker.load(other).digest


@pytest.mark.parametrize("data", [b"", b"no weights", WEIGHTS.read_bytes()[:-100]], ids=["empty", "other", "cut off"])
def test_weights_that_cannot_be_read_are_a_model_failure(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "ranker.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelFailure, match="reader_unloadable"):
        Ranker.load(path)


def test_weights_of_other_signals_are_a_model_failure(tmp_path: Path, ranker: Ranker) -> None:
    path = tmp_path / "ranker.safetensors"
    save_file({**ranker.tensors, "none.mean": ranker.tensors["none.mean"][:-1]}, path)
    with pytest.raises(ModelFailure, match="other signals"):
        Ranker.load(path)


def test_missing_weights_are_a_model_failure(tmp_path: Path) -> None:
    with pytest.raises(ModelFailure, match="reader_unloadable"):
        Ranker.load(tmp_path / "ranker.safetensors")
