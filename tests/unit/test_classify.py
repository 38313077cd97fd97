import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from few_lines import (
    CONTRACT,
    GIBBERISH,
    INVOICE,
    LETTER,
    RESUME,
    SAMPLES,
    THRESHOLDS,
    classifier,
    decide,
    features,
)

from core.features import Features
from core.settings import Thresholds


def test_probabilities_hold_every_class_by_name_best_first_and_sum_to_one() -> None:
    decision = decide(list(SAMPLES), LETTER)
    assert set(decision.probabilities) == set(SAMPLES)
    values = list(decision.probabilities.values())
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1)
    assert decision.confidence == values[0]
    assert decision.prediction == next(iter(decision.probabilities))


def test_the_order_of_the_classes_changes_nothing() -> None:
    names = [*SAMPLES, "receipt", "passport", "zebra report"]
    expected = decide(names, INVOICE, LETTER)
    for seed in range(3):
        shuffled = random.Random(seed).sample(names, len(names))
        assert decide(shuffled, INVOICE, LETTER) == expected


def test_the_order_in_which_pages_arrive_changes_nothing() -> None:
    ready = classifier(list(SAMPLES))
    pages = [(1, features(*INVOICE)), (2, None), (3, features(*LETTER))]
    assert ready.decide(pages[::-1], THRESHOLDS) == ready.decide(pages, THRESHOLDS)


def test_chances_of_many_documents_are_those_of_each_alone() -> None:
    ready = classifier(list(SAMPLES))
    documents = [[features(*INVOICE), features(*LETTER)], [features(*RESUME)], [features(*CONTRACT)]]
    chances, in_set = ready.chances_of(documents)
    for document, own, certainty in zip(documents, chances, in_set, strict=True):
        alone, sure = ready.chances(document)
        assert own == pytest.approx(alone, abs=1e-6)
        assert certainty == pytest.approx(sure, abs=1e-6)


def test_many_documents_are_decided_on_as_each_is_alone() -> None:
    ready = classifier(list(SAMPLES))
    documents = [
        [(1, features(*INVOICE)), (2, features(*LETTER)), (3, None)],
        [(1, None)],
        [(2, features(*RESUME))],
        [],
        [(1, None), (2, features(*CONTRACT))],
        [(3, features(*LETTER)), (1, features(*LETTER))],
    ]
    together = ready.decide_all(documents, THRESHOLDS)
    for document, decision in zip(documents, together, strict=True):
        alone = ready.decide(document, THRESHOLDS)
        assert (alone.prediction, alone.status, alone.reasons) == (
            decision.prediction,
            decision.status,
            decision.reasons,
        )
        assert list(alone.probabilities.values()) == pytest.approx(list(decision.probabilities.values()), abs=1e-6)
        assert [(page.number, page.prediction) for page in alone.pages] == [
            (page.number, page.prediction) for page in decision.pages
        ]
    assert ready.decide_all([], THRESHOLDS) == []


@pytest.mark.parametrize("few", [0, 100])
def test_only_the_likeliest_classes_are_listed_where_that_is_enough(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.classify.FEW", few)
    same = {"old": "A bill of a supplier.", "new": "A bill of a supplier.", "also": "A bill of a supplier."}
    ready = classifier({**dict.fromkeys(SAMPLES, ""), **same})
    for page in (features(*INVOICE), features(*LETTER), features(*GIBBERISH)):
        every = ready.decide([(1, page)], THRESHOLDS)
        for top in (1, 2, 3, 100):
            some = ready.decide([(1, page)], THRESHOLDS, top)
            assert list(some.probabilities.items()) == list(every.probabilities.items())[:top]
            assert some._replace(probabilities=every.probabilities) == every


def test_the_first_page_weighs_most() -> None:
    assert decide(["invoice", "letter"], INVOICE, LETTER).prediction == "invoice"
    assert decide(["invoice", "letter"], LETTER, INVOICE).prediction == "letter"


def test_blank_pages_are_left_out_but_listed() -> None:
    decision = decide(["invoice", "letter"], None, INVOICE)
    assert decision.status == "classified"
    assert [(page.number, page.prediction) for page in decision.pages] == [(1, None), (2, "invoice")]
    assert decision.probabilities == decide(["invoice", "letter"], INVOICE).probabilities


def test_a_document_of_blank_pages_needs_review() -> None:
    decision = decide(["invoice", "letter"], None, None)
    assert (decision.status, decision.reasons, decision.prediction) == ("needs_review", ("blank_page",), None)
    assert decision.probabilities == {}
    assert decision.confidence == 0
    assert len(decision.pages) == 2


def test_two_classes_that_say_the_same_leave_a_small_margin() -> None:
    decision = decide({"old": "An invoice of a supplier.", "new": "An invoice of a supplier."}, INVOICE)
    assert "small_margin" in decision.reasons
    assert "out_of_set" not in decision.reasons


def test_pages_that_are_sure_of_different_classes_disagree() -> None:
    decision = decide(["invoice", "resume"], INVOICE, RESUME)
    assert decision.reasons == ("pages_disagree",)
    assert [page.prediction for page in decision.pages] == ["invoice", "resume"]


def test_thresholds_decide_what_is_reviewed() -> None:
    ready = classifier(list(SAMPLES))
    pages = [(1, features(*LETTER))]
    strict = Thresholds(confidence=1, margin=1, in_set=1)
    assert ready.decide(pages, strict).reasons == ("low_confidence", "small_margin", "out_of_set")
    lax = Thresholds(confidence=0, margin=0, in_set=0)
    assert ready.decide([(1, features(*GIBBERISH))], lax).status == "classified"


def test_stored_features_decide_alike() -> None:
    ready = classifier(list(SAMPLES))
    fresh = features(*CONTRACT)
    stored = Features.from_bytes(fresh.to_bytes())
    assert ready.decide([(1, stored)], THRESHOLDS) == ready.decide([(1, fresh)], THRESHOLDS)


def test_many_threads_get_what_one_gets() -> None:
    ready = classifier(list(SAMPLES))
    documents = [[(1, features(*texts))] for texts in SAMPLES.values()] * 25
    expected = [ready.decide(pages, THRESHOLDS) for pages in documents]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda pages: ready.decide(pages, THRESHOLDS), documents)) == expected


def test_classes_that_say_nearly_the_same_are_pointed_out() -> None:
    same = "The yearly statement of wages and of the taxes that an employer withheld from them."
    ready = classifier({"w2": same, "wage_statement": same, "letter": "A letter to a person."})
    assert [pair[:2] for pair in ready.similar_pairs()] == [("w2", "wage_statement")]
    assert classifier(list(SAMPLES)).similar_pairs() == []


def test_features_of_all_zero_still_give_a_decision() -> None:
    empty = Features(np.zeros(256, np.float32), np.zeros(0, np.uint32), np.zeros(0, np.uint8), 0)
    decision = classifier(["invoice", "letter"]).decide([(1, empty)], THRESHOLDS)
    assert "out_of_set" in decision.reasons
    assert sum(decision.probabilities.values()) == pytest.approx(1)
