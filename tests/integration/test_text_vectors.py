from collections.abc import Sequence

import numpy as np
from sqlalchemy import Engine

from core.backends import Vectors
from worker.text_vectors import TextVectors


class Encoder:
    """Encodes a text as its length and its first letter; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.asked.append(list(texts))
        return np.array([[len(text), ord(text[0])] for text in texts], dtype=np.float32)


def test_a_text_is_encoded_once_for_all_nodes(database: Engine) -> None:
    encoder = Encoder()
    first = TextVectors(database, "model", encoder)(["one", "three", "one"])
    second = TextVectors(database, "model", encoder)(["three", "seven!", "one"])
    assert encoder.asked == [["one", "three"], ["seven!"]]
    assert first.tolist() == [[3, ord("o")], [5, ord("t")], [3, ord("o")]]
    assert second.tolist() == [[5, ord("t")], [6, ord("s")], [3, ord("o")]]


def test_another_model_encodes_for_itself(database: Engine) -> None:
    encoder = Encoder()
    TextVectors(database, "model", encoder)(["one"])
    TextVectors(database, "other model", encoder)(["one"])
    assert encoder.asked == [["one"], ["one"]]
