import numpy as np
import pytest
from made_up import features, page_of

from core.features import Features
from core.sketch import BUCKETS, sketch_of


def page(keys: list[int], prominence: list[int]) -> Features:
    return Features(np.ones(4, np.float32), np.array(keys, np.uint32), np.array(prominence, np.uint8), 20)


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_each_page_weighs_half_as_much_as_the_one_before_and_all_of_them_one(count: int) -> None:
    weights = sketch_of([page_of("bill", number) for number in range(count)]).weights
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights[1:], weights[:-1] / 2)


def test_the_tokens_are_the_pages_vectors_in_order() -> None:
    pages = [page_of("bill", number) for number in range(3)]
    np.testing.assert_array_equal(sketch_of(pages).tokens, [one.vector for one in pages])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_bag_is_sparse_and_of_length_one_or_less(count: int) -> None:
    sketch = sketch_of([page_of("bill", number) for number in range(count)])
    assert (np.diff(sketch.places) > 0).all()
    assert sketch.places[0] >= 0
    assert sketch.places[-1] < BUCKETS
    assert (sketch.counts > 0).all()
    bag = sketch.bag()
    assert np.linalg.norm(bag) <= 1 + 1e-6
    np.testing.assert_array_equal(np.flatnonzero(bag), sketch.places)
    np.testing.assert_array_equal(bag[sketch.places], sketch.counts)


def test_pages_with_the_same_words_make_a_bag_of_length_one() -> None:
    one = page_of("bill", 1)
    assert np.linalg.norm(sketch_of([one, one, one]).counts) == pytest.approx(1)


def test_a_term_that_stands_out_counts_more_and_of_two_in_one_place_the_greater_counts() -> None:
    plain, loud = page([3, 90], [0, 255]), page([3, 3, 90], [0, 255, 255])
    assert sketch_of([plain]).counts.max() / sketch_of([plain]).counts.min() == pytest.approx(1.3 / 0.3)
    np.testing.assert_allclose(sketch_of([loud]).counts, np.sqrt([0.5, 0.5]), rtol=1e-6)


def test_a_term_lies_where_it_lay_in_the_process_that_trained() -> None:
    keys = [0, 1, 2, 3_405_691_582, 4_294_967_295]
    assert sketch_of([page(keys, [0] * len(keys))]).places.tolist() == [0, 268, 2518, 3558, 3827]


def test_a_page_without_a_term_has_an_empty_bag() -> None:
    sketch = sketch_of([page([], [])])
    assert (len(sketch.places), len(sketch.counts)) == (0, 0)
    assert not sketch.bag().any()


def test_the_first_page_says_most_of_what_the_words_are() -> None:
    bill, note = page_of("bill", 1), page_of("note", 1)
    mixed = sketch_of([bill, note]).bag()
    assert mixed @ sketch_of([bill]).bag() > mixed @ sketch_of([note]).bag()


def test_spelling_that_readers_mistake_changes_nothing() -> None:
    right, misread = features(["invoice total"]), features(["lNV0ICE total"])
    np.testing.assert_array_equal(sketch_of([right]).places, sketch_of([misread]).places)
