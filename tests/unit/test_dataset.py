import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from made_up import document_id

from core.class_set import ClassSet
from core.settings import Training
from core.training.dataset import Dataset, Example, differ_in_labels_alone, fingerprint, part_of

SETTINGS = Training()
CLASSES = ClassSet.one_off({"bill": "asks for money", "note": "a short letter"})
LABELS = [(document_id(label, number), label) for label in ("bill", "note") for number in range(3)]


def examples(label: str, count: int) -> list[Example]:
    return [Example(document_id(label, number), label, ()) for number in range(count)]


def parts(dataset: Dataset) -> dict[str, str]:
    named = (("train", dataset.train), ("validation", dataset.validation), ("test", dataset.test))
    return {example.document_id: part for part, own in named for example in own}


def test_a_document_stays_in_its_part_whatever_else_is_labelled_and_whatever_the_seed() -> None:
    own = examples("bill", 60)
    before = parts(Dataset.part(own, SETTINGS))
    more = [*examples("note", 200), *reversed(own), *examples("card", 50)]
    after = parts(Dataset.part(more, Training(seed=7, batch=8)))
    assert len(after) == 310
    assert {name: after[name] for name in before} == before
    assert set(before.values()) == {"train", "validation", "test"}


def test_a_document_that_gets_another_class_stays_in_its_part() -> None:
    own = examples("bill", 30)
    other = [Example(example.document_id, "note", ()) for example in own]
    assert parts(Dataset.part(own, SETTINGS)) == parts(Dataset.part(other, SETTINGS))


@pytest.mark.parametrize(("validation", "test"), [(0.2, 0.2), (0.1, 0.3)])
def test_the_parts_are_about_as_large_as_they_should_be(validation: float, test: float) -> None:
    settings = Training(validation_share=validation, test_share=test)
    counts = Counter(part_of(document_id("bill", number), settings) for number in range(2000))
    assert counts["test"] / 2000 == pytest.approx(test, abs=0.03)
    assert counts["validation"] / 2000 == pytest.approx(validation, abs=0.03)
    assert sum(counts.values()) == 2000


def test_a_larger_test_share_takes_documents_in_and_lets_none_out() -> None:
    def test_part(share: float) -> set[str]:
        return {example.document_id for example in Dataset.part(own, Training(test_share=share)).test}

    own = examples("bill", 300)
    assert test_part(0.1) < test_part(0.3)


def test_no_more_than_allowed_of_each_class_are_used_and_they_are_the_same_in_any_order() -> None:
    own = [*examples("bill", 80), *examples("note", 30)]
    dataset = Dataset.part(own, Training(max_samples_per_class=40))
    assert dataset.labels == {"bill": 40, "note": 30}
    random.Random(3).shuffle(own)
    assert Dataset.part(own, Training(max_samples_per_class=40)) == dataset


def test_labels_are_counted_over_all_parts_by_name() -> None:
    dataset = Dataset.part([*examples("note", 30), *examples("bill", 20)], SETTINGS)
    assert list(dataset.labels.items()) == [("bill", 20), ("note", 30)]
    assert sum(map(len, (dataset.train, dataset.validation, dataset.test))) == 50


def test_each_part_is_ordered_by_document() -> None:
    dataset = Dataset.part([*examples("note", 30), *examples("bill", 30)], SETTINGS)
    for own in (dataset.train, dataset.validation, dataset.test):
        ids = [example.document_id for example in own]
        assert ids == sorted(ids)


def printed(**changed: Any) -> str:
    said = {"labels": LABELS, "captions": [b"one", b"two"], "class_set": CLASSES}
    return fingerprint(**({**said, "encoder": "small@1", "settings": SETTINGS} | changed))


@pytest.mark.parametrize("changed", [{"labels": LABELS[1:]}, {"labels": [(LABELS[0][0], "note"), *LABELS[1:]]}])
def test_other_labels_change_the_fingerprint_in_its_labels_alone(changed: dict[str, Any]) -> None:
    assert printed(**changed) != printed()
    assert differ_in_labels_alone(printed(**changed), printed())


@pytest.mark.parametrize(
    "changed",
    [
        {"captions": [b"one", b"three"]},
        {"class_set": ClassSet.one_off({"bill": "asks for payment", "note": "a short letter"})},
        {"encoder": "small@2"},
        {"settings": Training(seed=1)},
        {"settings": Training(epochs=3)},
        {"settings": Training(learning_rate=0.3)},
        {"settings": Training(test_share=0.3)},
        {"settings": Training(pooling="cross_attention")},
    ],
)
def test_whatever_else_is_learned_from_changes_the_fingerprint(changed: dict[str, Any]) -> None:
    assert printed(**changed) != printed()
    assert not differ_in_labels_alone(printed(**changed), printed())
    assert not differ_in_labels_alone(printed(**changed), printed(labels=LABELS[1:]))


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": LABELS[::-1]},
        {"captions": [b"two", b"one"]},
        {"class_set": ClassSet(name="other", classes=CLASSES.classes[::-1])},
        {"settings": Training(max_fall=0.5, min_new_labels=3, heartbeat=1)},
        {"settings": Training(store=Path("elsewhere"))},
    ],
)
def test_nothing_else_changes_the_fingerprint(changed: dict[str, Any]) -> None:
    assert printed(**changed) == printed()
    assert not differ_in_labels_alone(printed(**changed), printed())


def test_a_class_of_very_many_documents_keeps_some_for_each_part() -> None:
    dataset = Dataset.part(examples("bill", 2000), Training(max_samples_per_class=100))
    sizes = [len(dataset.train), len(dataset.validation), len(dataset.test)]
    assert sum(sizes) == 100
    assert sizes[0] > 40
    assert min(sizes) > 8
