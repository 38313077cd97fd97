import numpy as np
import pytest
from few_lines import BACKEND, GIBBERISH, RESUME, SAMPLES, THRESHOLDS, decide, features

from core.class_set import ClassSet, DocumentClass
from core.classify import Classifier
from core.descriptions import Descriptions
from core.settings import PROJECT


@pytest.mark.parametrize("truth", SAMPLES)
def test_bare_names_are_enough_for_obvious_pages(truth: str) -> None:
    decision = decide(list(SAMPLES), SAMPLES[truth])
    assert (decision.prediction, decision.status, decision.reasons) == (truth, "classified", ())
    assert decision.confidence > 0.9
    assert decision.in_set > 0.9


def test_names_in_another_language_mean_the_same() -> None:
    assert decide(["Rechnung", "Lebenslauf", "Brief"], RESUME).prediction == "Lebenslauf"


def test_a_genre_that_no_class_resembles_beats_them_all() -> None:
    decision = decide(["invoice", "receipt", "passport"], RESUME)
    assert decision.status == "needs_review"
    assert "out_of_set" in decision.reasons
    assert decision.in_set < 0.1


def test_a_page_like_nothing_at_all_is_out_of_set() -> None:
    assert "out_of_set" in decide(["invoice", "letter"], GIBBERISH).reasons


def test_a_class_that_names_a_kind_takes_its_genres_in() -> None:
    decision = decide(["tax form", "invoice"], ("Form W-2 Wage and Tax Statement", "Wages, tips, other compensation"))
    assert (decision.prediction, decision.reasons) == ("tax form", ())


def test_wording_makes_a_class_of_a_kind_that_nobody_knows() -> None:
    page = ("Zonk sheet 7", "blorp reading: 12", "frim level: low")
    plain = [DocumentClass(name="alpha"), DocumentClass(name="beta")]
    worded = [plain[0], DocumentClass(name="beta", wording=("blorp reading", "frim level"))]
    chances = [
        Classifier(Descriptions.build(ClassSet(name="s", classes=tuple(classes)), BACKEND.encode_texts))
        .decide([(1, features(*page))], THRESHOLDS)
        .probabilities["beta"]
        for classes in (plain, worded)
    ]
    assert chances[1] > chances[0] + 0.2


def test_the_default_set_has_about_twenty_distinct_classes() -> None:
    intake = ClassSet.from_yaml(PROJECT / "configs" / "classes" / "intake.yaml")
    assert intake.name == "intake"
    assert 18 <= len(intake.classes) <= 24
    assert all(item.description and item.wording and item.captions for item in intake.classes)
    ready = Classifier(Descriptions.build(intake, BACKEND.encode_texts))
    assert ready.similar_pairs() == []
    for truth, texts in SAMPLES.items():
        assert ready.decide([(1, features(*texts))], THRESHOLDS).prediction == truth


@pytest.mark.parametrize("spread", [0.0, 3.0, 30.0])
def test_of_very_many_classes_none_borrows_less_than_it_would_among_few(spread: float) -> None:
    words = [f"{a}{b}" for a in ("paper", "note", "sheet", "bill", "card") for b in range(60)]
    claims = Descriptions.build(ClassSet.one_off(words), BACKEND.encode_texts).claims
    assert len(claims.by_class) > len(claims.by_genre)
    # Of a middle that few genres stand out from, and of one that half of them do.
    chance = np.random.default_rng(1)
    looks = spread * np.concatenate(
        [chance.standard_normal((20, len(claims.by_genre))), chance.integers(0, 2, (20, len(claims.by_genre)))]
    )
    expected = [(claims.by_class + row).max(axis=1) for row in looks.astype(np.float32)]
    np.testing.assert_array_equal(claims.borrowed(looks), expected)
