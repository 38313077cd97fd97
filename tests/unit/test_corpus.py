from collections import Counter

import numpy as np
import pytest
import torch
from made_up import classifier_of, corpus_of, described, documents_of

from core.training.corpus import balanced

CLASSES = described(["note", "bill", "card"])
EXAMPLES = [*documents_of("bill", 3, pages=2), *documents_of("note", 2)]


def drawn(labels: list[int], rows: list[int] | None = None, seed: int = 0) -> list[int]:
    own = np.arange(len(labels)) if rows is None else np.array(rows)
    return balanced(np.array(labels), own, torch.Generator().manual_seed(seed)).tolist()


def test_base_logits_are_those_of_the_classifier() -> None:
    corpus, classifier = corpus_of(EXAMPLES, CLASSES), classifier_of(CLASSES)
    assert len(corpus) == 5
    assert [classifier.names[label] for label in corpus.labels] == ["bill"] * 3 + ["note"] * 2
    base, outside = corpus.logits(np.array([4, 1]))
    assert (base.dtype, outside.dtype) == (torch.float32, torch.float32)
    together, _ = classifier.logits([example.pages for example in EXAMPLES])
    np.testing.assert_array_equal(corpus.base, together)
    for row, number in enumerate((4, 1)):
        (classes,), (none,) = classifier.logits([EXAMPLES[number].pages])
        np.testing.assert_allclose(base[row], classes, rtol=1e-6)
        assert outside[row].item() == pytest.approx(none)


def test_each_document_has_enough_captions_and_each_text_is_encoded_once() -> None:
    corpus = corpus_of(EXAMPLES, CLASSES, least_captions=6)
    assert [len(own) for own in corpus.captions] == [6] * 5
    assert corpus.captions[0] == corpus.captions[2] != corpus.captions[3]
    assert {row for own in corpus.captions for row in own} == set(range(len(corpus.caption_vectors)))
    assert len(np.unique(corpus.caption_vectors, axis=0)) == len(corpus.caption_vectors)


def test_a_corpus_of_nothing_has_the_classes_all_the_same() -> None:
    corpus = corpus_of([], CLASSES)
    assert (len(corpus), corpus.base.shape, len(corpus.caption_vectors)) == (0, (0, 3), 0)


@pytest.mark.parametrize("counts", [(50, 50), (90, 7, 3), (98, 1, 1), (40, 30, 20, 9), (5,)])
def test_every_class_is_drawn_as_often_as_any_other(counts: tuple[int, ...]) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    rows = drawn(labels)
    assert len(rows) == len(labels)
    often = Counter(labels[row] for row in rows)
    assert len(often) == len(counts)
    assert max(often.values()) - min(often.values()) <= 1


def test_the_documents_of_a_class_take_turns() -> None:
    labels = [0] * 2 + [1] * 58
    often = Counter(drawn(labels))
    assert {often[row] for row in (0, 1)} == {15}
    assert max(often[row] for row in range(2, 60)) == 1


def test_of_a_class_with_more_documents_than_turns_others_come_up_each_time() -> None:
    labels = [0] * 2 + [1] * 58
    first, second = (set(drawn(labels, seed=seed)) for seed in (1, 2))
    assert len(first - second) > 5


def test_only_the_given_documents_are_drawn() -> None:
    labels = [0, 1, 2] * 10
    rows = [row for row in range(30) if labels[row] != 1][:13]
    assert set(drawn(labels, rows)) <= set(rows)
    assert len(drawn(labels, rows)) == 13


def test_the_order_is_drawn_anew_by_each_seed_and_the_same_by_one() -> None:
    labels = [0, 1] * 20
    assert drawn(labels, seed=1) == drawn(labels, seed=1) != drawn(labels, seed=2)
    generator = torch.Generator().manual_seed(1)
    first, second = (balanced(np.array(labels), np.arange(40), generator).tolist() for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(40))
