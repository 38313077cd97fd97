import numpy as np
import pytest
from made_up import page_of

from core.familiarity import ANCHORS, TOGETHER, Familiarity
from core.sketch import BUCKETS, Sketch, sketch_of

LABELLED = ("bill", "note", "card")


def sketches(label: str, numbers: range) -> list[Sketch]:
    return [sketch_of([page_of(label, number)]) for number in numbers]


def fitted(count: int = 12) -> Familiarity:
    return Familiarity.fit(
        [sketch for label in LABELLED for sketch in sketches(label, range(count))],
        [index for index, _ in enumerate(LABELLED) for _ in range(count)],
    )


def with_words(places: list[int]) -> Sketch:
    counts = np.full(len(places), 1 / np.sqrt(len(places)), np.float32)
    return Sketch(np.ones((1, 4), np.float32), np.ones(1, np.float32), np.sort(places), counts)


def test_a_document_of_a_labelled_kind_is_familiar_and_one_of_another_kind_is_not() -> None:
    familiarity = fitted()
    of_labelled = familiarity.of([one for label in LABELLED for one in sketches(label, range(50, 70))])
    of_others = familiarity.of([one for label in ("deed", "memo") for one in sketches(label, range(20))])
    assert np.mean(of_labelled) > 0.3
    assert np.mean(of_others) < 0.05
    assert np.mean([value > max(of_others) for value in of_labelled]) > 0.8


def test_what_was_labelled_is_more_familiar_than_what_is_only_alike() -> None:
    familiarity = fitted()
    (itself,), (another,) = sketches("bill", range(1)), sketches("bill", range(60, 61))
    of_itself, of_another = familiarity.of([itself, another])
    assert 1 >= of_itself > of_another > 0


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0]], ids=["no second document of a class", "one class"])
def test_nothing_is_familiar_where_there_is_nothing_to_compare(labels: list[int]) -> None:
    own = [sketch for label in LABELLED for sketch in sketches(label, range(1))]
    familiarity = Familiarity.fit(own, labels)
    assert familiarity.of(own).tolist() == [0, 0, 0]


def test_a_document_without_words_is_not_familiar() -> None:
    empty = Sketch(
        np.ones((1, 4), np.float32), np.ones(1, np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32)
    )
    assert fitted().of([empty]) == 0


def test_so_many_documents_are_remembered_and_as_many_of_each_class() -> None:
    own = [with_words([index % BUCKETS, BUCKETS - 1 - index % 7]) for index in range(2 * ANCHORS)]
    labels = [0] * 10 + [1] * (len(own) - 400) + [2] * 390
    familiarity = Familiarity.fit(own, labels)
    share = ANCHORS // 3
    assert familiarity.anchors.shape == (BUCKETS, 10 + 2 * share)
    kept = [*range(10), *range(10, 10 + share), *range(len(own) - 390, len(own) - 390 + share)]
    np.testing.assert_array_equal(familiarity.anchors.T, [own[index].bag().astype(np.float16) for index in kept])


@pytest.mark.parametrize("shared", [1, 15, 29], ids="{} words of 30 in common".format)
@pytest.mark.parametrize("classes", [2, 40])
def test_classes_that_words_part_perfectly_give_finite_numbers(classes: int, shared: int) -> None:
    own = [with_words([*range(shared), *range(100 * (label + 1), 100 * (label + 1) + 30 - shared)])
           for label in range(classes) for _ in range(3)]  # fmt: skip
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        familiarity = Familiarity.fit(own, [label for label in range(classes) for _ in range(3)])
        assert familiarity.of(own[:1]) > 0
        assert familiarity.of([with_words([*range(shared), *range(4050, 4080 - shared)])]) == 0
    assert shared / 30 < familiarity.middle < 1


def test_classes_of_a_single_document_do_not_move_the_middle() -> None:
    def middle(singles: int) -> float:
        # Two of three words are shared within a class, and one by all.
        own = [with_words([0, 10 + label, 20 + 2 * label + copy]) for label in (0, 1) for copy in (0, 1)]
        own += [with_words([0, 100 + 2 * label, 101 + 2 * label]) for label in range(singles)]
        return Familiarity.fit(own, [0, 0, 1, 1, *range(2, 2 + singles)]).middle

    assert middle(0) == pytest.approx(0.5, abs=0.01)
    assert middle(300) == pytest.approx(0.5, abs=0.01)


def test_where_words_do_not_tell_classes_apart_nothing_is_familiar() -> None:
    # Each document's likest one is of the other class.
    pairs = [with_words([index, index + 100, index + 200, index + 300]) for index in range(20) for _ in range(2)]
    familiarity = Familiarity.fit(pairs, [0, 1] * 20)
    assert familiarity.of(pairs).max() == 0


def test_of_very_many_classes_some_are_remembered_by_two_documents_each() -> None:
    names = [name for name in range(1500) for _ in range(2)]
    familiarity = Familiarity.fit([with_words([name, 2000 + name % 7]) for name in names], names)
    assert familiarity.anchors.shape == (BUCKETS, ANCHORS)
    assert familiarity.of([with_words([0, 2000])]) > 0.5


@pytest.mark.parametrize("by_words", [True, False])
def test_many_documents_are_as_familiar_together_as_each_is_alone(by_words: bool) -> None:
    own = [sketch for label in LABELLED for sketch in sketches(label, range(30))]
    familiarity = Familiarity.fit(
        own, [index for index, _ in enumerate(LABELLED) for _ in range(30)], by_words=by_words
    )
    alone = [float(familiarity.of([sketch])[0]) for sketch in own]
    assert len(own) > TOGETHER
    np.testing.assert_allclose(familiarity.of(own), alone, atol=1e-5)
    assert familiarity.of([]).shape == (0,)
