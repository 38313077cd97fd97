from collections.abc import Sequence

import numpy as np
import pytest

from core.backends import Vectors
from worker.runtime import _encode


class Encoder:
    """Makes of a number a vector that tells whose it is; records its batches."""

    def __init__(self, name: int) -> None:
        self.name = name
        self.batches: list[list[int]] = []

    def encode(self, batch: Sequence[int]) -> list[Vectors]:
        self.batches.append(list(batch))
        return [np.array([self.name, number], dtype=np.float32) for number in batch if number != 13]


def test_pages_of_one_encoder_are_encoded_together_and_come_back_in_their_places() -> None:
    one, other = Encoder(1), Encoder(2)
    # A method is another object each time it is looked up.
    found = _encode([(one.encode, 5), (other.encode, 6), (one.encode, 7), (other.encode, 8), (one.encode, 9)])
    assert [vector.tolist() for vector in found] == [[1, 5], [2, 6], [1, 7], [2, 8], [1, 9]]
    assert (one.batches, other.batches) == ([[5, 7, 9]], [[6, 8]])


def test_an_encoder_that_leaves_a_page_out_fails_the_batch() -> None:
    one = Encoder(1)
    with pytest.raises(ValueError, match="shorter"):
        _encode([(one.encode, 5), (one.encode, 13)])
