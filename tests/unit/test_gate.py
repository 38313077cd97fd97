import numpy as np

from core.training.gate import judge
from core.training.report import Measured, measure

CLASSES = ["bill", "card", "note"]


def measured(**right: tuple[int, int]) -> Measured:
    """Class → how many documents are told rightly, of how many."""
    truths = [name for name, (_, count) in right.items() for _ in range(count)]
    predicted = [
        name if number < good else CLASSES[CLASSES.index(name) - 1]
        for name, (good, count) in right.items()
        for number in range(count)
    ]
    probabilities = np.array([[float(name == one) for name in CLASSES] for one in predicted]).reshape(
        -1, len(CLASSES)
    )
    return measure(truths, CLASSES, probabilities)


BEFORE = measured(bill=(6, 10), note=(8, 10))
BETTER = measured(bill=(9, 10), note=(8, 10))


def test_a_better_candidate_is_accepted_and_the_reason_says_how_much_better() -> None:
    accepted, reasons = judge(BEFORE, BETTER, None, None, 0.05)
    assert accepted
    assert reasons == ["macro accuracy is better: 70.0% → 85.0% on 20 held-out documents"]


def test_a_candidate_that_is_just_as_good_is_rejected() -> None:
    accepted, reasons = judge(BEFORE, measured(bill=(8, 10), note=(6, 10)), None, None, 0.5)
    assert not accepted
    assert reasons == ["macro accuracy is not better: 70.0% → 70.0% on 20 held-out documents"]


def test_classes_weigh_the_same_whatever_their_documents() -> None:
    before = measured(bill=(90, 100), note=(1, 4))
    assert judge(before, measured(bill=(87, 100), note=(2, 4)), None, None, 0.05)[0]
    assert not judge(before, measured(bill=(100, 100), note=(0, 4)), None, None, 1)[0]


def test_a_class_that_falls_too_far_is_named() -> None:
    accepted, reasons = judge(BEFORE, measured(bill=(10, 10), note=(7, 10)), None, None, 0.05)
    assert not accepted
    assert reasons == ["class note falls: 80.0% → 70.0% of 10 documents; at most 5.0% is allowed"]


def test_a_class_may_fall_by_as_much_as_is_allowed() -> None:
    assert judge(BEFORE, measured(bill=(10, 10), note=(7, 10)), None, None, 0.1)[0]


def test_classes_without_labels_may_not_suffer() -> None:
    accepted, reasons = judge(BEFORE, BETTER, 0.9, 0.85, 0.5)
    assert not accepted
    assert reasons == ["classes without labels would suffer: 90.0% → 85.0% in the rehearsal"]


def test_classes_without_labels_that_keep_what_they_had_are_told() -> None:
    for after in (0.9, 0.95):
        accepted, reasons = judge(BEFORE, BETTER, 0.9, after, 0)
        assert accepted
        assert reasons[1] == f"classes without labels: 90.0% → {after:.1%} in the rehearsal"


def test_every_fault_is_told() -> None:
    accepted, reasons = judge(BEFORE, measured(bill=(4, 10), note=(5, 10)), 0.9, 0.1, 0.05)
    assert not accepted
    assert [reason.split(":")[0] for reason in reasons] == [
        "macro accuracy is not better",
        "class bill falls",
        "class note falls",
        "classes without labels would suffer",
    ]


def test_without_held_out_documents_nothing_is_accepted() -> None:
    accepted, reasons = judge(measured(), measured(), 0.5, 0.9, 1)
    assert not accepted
    assert reasons == ["there are no held-out documents to judge by: more labels are needed"]
