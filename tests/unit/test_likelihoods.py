"""Classes told by the likelihood of their names: what is scored, under which key, and what becomes of the scores."""

import pickle
from collections.abc import Sequence

import numpy as np
import pytest

from core.backends import EncodePages, Vectors
from core.class_set import ClassSet, DocumentClass
from core.errors import ModelFailure
from core.features import Features
from core.likelihoods import Likelihoods
from core.prompts import prompts_of


def one_hot(texts: Sequence[str]) -> Vectors:
    """Each text by its first letter."""
    rows = np.zeros((len(texts), 128), np.float32)
    rows[range(len(texts)), [ord(text[0]) % 128 for text in texts]] = 1
    return rows


class Scoring:
    """Remembers what was to be scored."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()

    def __call__(self, names: tuple[str, ...]) -> EncodePages:
        self.names = names
        return lambda pages: [np.zeros(len(names), np.float32) for _ in pages]


def class_set(*names: str) -> ClassSet:
    return ClassSet(name="papers", classes=tuple(DocumentClass(name=name) for name in names))


def build(*names: str, told: str = "") -> Likelihoods:
    return Likelihoods.build(class_set(*names), one_hot, Scoring(), told)


def page(likelihoods: Likelihoods, scores: Sequence[float]) -> Features:
    bare = Features.of_vector(np.ones((1, 4), np.float32))
    return bare.with_tuned(likelihoods.key, np.array(scores, np.float32))


def test_pages_are_called_by_the_words_of_the_classes_and_by_something_else() -> None:
    scoring = Scoring()
    likelihoods = Likelihoods.build(class_set("tax_form", "bank-statement", "invoice"), one_hot, scoring, "")
    assert likelihoods.names == ("bank-statement", "invoice", "tax_form")
    assert scoring.names == ("bank statement", "invoice", "tax form", "something else")
    (scores,) = likelihoods.encoders[likelihoods.key]([None])
    assert scores.shape == (4,)


def test_the_key_names_the_names_and_what_they_are_scored_by_whatever_their_order() -> None:
    assert build("invoice", "letter").key == build("letter", "invoice").key
    keys = {build("invoice", "letter").key, build("invoice", "memo").key, build("invoice", "letter", told="p").key}
    assert len(keys) == 3


def test_classes_are_also_vectors_of_their_descriptions() -> None:
    likelihoods = build("invoice", "letter")
    expected = one_hot(prompts_of(DocumentClass(name="invoice"))).mean(0)
    assert likelihoods.class_vectors.shape == (2, 128)
    assert (likelihoods.meanings == likelihoods.class_vectors).all()
    assert likelihoods.class_vectors[0] == pytest.approx(expected / np.linalg.norm(expected))


def test_a_likelier_name_has_a_higher_logit_and_none_of_these_is_the_last() -> None:
    likelihoods = build("invoice", "letter")
    (logits,), (none,) = likelihoods.logits(likelihoods.scores([page(likelihoods, [-1.0, -0.5, -2.0])]))
    assert logits.shape == (2,)
    assert logits[1] > logits[0] > none
    assert (logits[1] - logits[0]) / (logits[0] - none) == pytest.approx(0.5)


def test_a_page_that_was_not_scored_is_an_error() -> None:
    with pytest.raises(ModelFailure, match="not_tuned"):
        build("invoice", "letter").scores([page(build("invoice", "memo"), [0, 0, 0])])


def test_what_goes_to_another_process_decides_without_the_model() -> None:
    likelihoods = build("invoice", "letter")
    there = pickle.loads(pickle.dumps(likelihoods))  # noqa: S301 - our own
    seen = page(likelihoods, [-1, -2, -3])
    for one, other in zip(
        there.logits(there.scores([seen])), likelihoods.logits(likelihoods.scores([seen])), strict=True
    ):
        assert np.array_equal(one, other)
    with pytest.raises(ModelFailure, match=r"not_tuned.*in another process"):
        there.encoders[there.key]([None])
