import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from core.evaluation import calibration_error
from core.training.page import to_html
from core.training.report import EpochRecord, Measured, Phase, TrainingReport, flips_of, measure

CLASSES = ["invoice", "letter", "tax_form"]
TRUTHS = ["invoice", "invoice", "letter", "letter", "tax_form"]
BEFORE = np.array([[0.7, 0.2, 0.1], [0.3, 0.5, 0.2], [0.1, 0.8, 0.1], [0.2, 0.6, 0.2], [0.5, 0.1, 0.4]])
AFTER = np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.9, 0.0], [0.1, 0.7, 0.2]])
IDS = [f"{index:064x}" for index in range(5)]
VOID = {"meta"}


class Strict(HTMLParser):
    """Collects what is to be read, and insists that every element is closed where it was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def epoch(phase: Phase, number: int, **changed: Any) -> EpochRecord:
    figures = {"loss": 1.5, "contrastive": 1.1, "classification": 0.4, "validation_loss": 1.75}
    figures |= {
        "seen_accuracy": 0.815,
        "unseen_accuracy": 0.625,
        "learning_rate": 2e-5,
        "scale": 21.5,
        "seconds": 75.0,
    }
    return EpochRecord(phase=phase, epoch=number, **(figures | changed))


def report(**changed: Any) -> TrainingReport:
    fields: dict[str, Any] = {
        "class_set": "office",
        "class_version": 4,
        "encoder": "small-encoder@1f",
        "parents": [2, 5],
        "labels": {"invoice": 31, "letter": 17, "tax_form": 11},
        "documents": {"train": 41, "validation": 13, "test": 5},
        "skipped": {"e" * 64: "no text could be read", "photos/scan.heic": "no such file"},
        "held_out": ["tax_form"],
        "history": [epoch("rehearsal", 1), epoch("rehearsal", 2), epoch("training", 1, unseen_accuracy=None)],
        "chosen_epoch": 2,
        "before": measure(TRUTHS, CLASSES, BEFORE),
        "after": measure(TRUTHS, CLASSES, AFTER),
        "unseen_before": 0.512,
        "unseen_after": 0.634,
        "temperature": 1.37,
        "interpolation": 0.65,
        "accepted": True,
        "reasons": ["macro accuracy rose enough"],
        "settings": {"batch": 48, "loss": {"margin": 0.35}, "device": "cpu"},
        "flips": flips_of(IDS, TRUTHS, CLASSES, BEFORE, AFTER),
        "seconds": 3725.0,
    }
    return TrainingReport(**(fields | changed))


def read(page: str) -> Strict:
    parser = Strict()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def nothing_measured() -> Measured:
    return measure([], CLASSES, np.zeros((0, 3)))


def test_measuring_counts_what_each_class_is_taken_for() -> None:
    measured = measure(TRUTHS, CLASSES, BEFORE)
    assert measured.confusion == {
        "invoice": {"invoice": 1, "letter": 1},
        "letter": {"letter": 2},
        "tax_form": {"invoice": 1},
    }
    assert {name: (one.documents, one.accuracy) for name, one in measured.per_class.items()} == {
        "invoice": (2, 0.5),
        "letter": (2, 1.0),
        "tax_form": (1, 0.0),
    }
    assert (measured.documents, measured.accuracy) == (5, 0.6)
    assert measured.macro_accuracy == pytest.approx(0.5)


def test_the_reliability_bins_are_those_of_the_calibration_error() -> None:
    random = np.random.default_rng(7)
    probabilities = random.dirichlet(np.ones(3), size=200)
    truths = [CLASSES[index] for index in random.integers(3, size=200)]
    measured = measure(truths, CLASSES, probabilities)
    right = [CLASSES[row.argmax()] == truth for row, truth in zip(probabilities, truths, strict=True)]
    assert measured.ece == calibration_error([float(row.max()) for row in probabilities], right)
    gaps = [abs(one.confidence - one.accuracy) * one.documents / 200 for one in measured.reliability]
    assert sum(gaps) == pytest.approx(measured.ece)
    assert sum(one.documents for one in measured.reliability) == 200
    assert all(one.lower <= one.confidence < one.upper for one in measured.reliability)


def test_a_bin_holds_its_documents_and_the_last_one_holds_certainty() -> None:
    measured = measure(["a", "b", "b"], ["a", "b"], np.array([[1, 0], [0.95, 0.05], [0.42, 0.58]]))
    assert [(round(one.lower, 3), round(one.upper, 3), one.documents) for one in measured.reliability] == [
        (0.533, 0.6, 1),
        (0.933, 1.0, 2),
    ]
    assert [(one.confidence, one.accuracy) for one in measured.reliability] == [(0.58, 1.0), (0.975, 0.5)]
    assert measured.ece == pytest.approx((0.42 + 2 * 0.475) / 3)


def test_nothing_has_no_shares() -> None:
    measured = nothing_measured()
    assert (measured.documents, measured.accuracy, measured.macro_accuracy, measured.ece) == (0, None, None, None)
    assert (measured.per_class, measured.confusion, measured.reliability) == ({}, {}, ())


def test_flips_are_listed_by_what_they_do() -> None:
    flips = flips_of(IDS, TRUTHS, CLASSES, BEFORE, AFTER)
    assert [(flip.document_id, flip.effect) for flip in flips] == [
        (IDS[1], "put right"),
        (IDS[2], "spoilt"),
        (IDS[4], "still wrong"),
    ]
    spoilt = flips[1]
    assert (spoilt.truth, spoilt.before, spoilt.before_confidence) == ("letter", "letter", 0.8)
    assert (spoilt.after, spoilt.after_confidence) == ("invoice", 0.6)


def test_a_document_decided_alike_is_no_flip_whatever_its_confidence() -> None:
    assert flips_of(IDS, TRUTHS, CLASSES, BEFORE, 0.5 * BEFORE + 0.5 / 3) == ()


def test_a_report_is_the_same_after_being_kept_as_json() -> None:
    assert TrainingReport.model_validate_json(report().model_dump_json()) == report()


@pytest.mark.parametrize("changed", [{"temperature": float("nan")}, {"seconds": float("inf")}, {"colour": "red"}])
def test_what_json_cannot_hold_and_what_nobody_knows_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        report(**changed)


def test_the_page_needs_nothing_else() -> None:
    page = to_html(report(), "checkpoint 7")
    parser = read(page)
    assert not re.search(r"https?:|//\w|url\(|@import|<script|<link|<img|<iframe", page)
    assert not {name for name, _ in parser.attributes} & {"src", "href", "xlink:href", "srcset", "data", "action"}
    assert not [name for name, _ in parser.attributes if name.startswith("on")]


def test_the_page_holds_every_figure() -> None:
    page = to_html(report(), "checkpoint 7")
    text = read(page).text
    assert page.count("<svg") >= 6
    for said in (
        *("checkpoint 7", "✓ Accepted", "macro accuracy rose enough", "office, version 4", "small-encoder@1f"),
        *("59 labels of 3 classes", "65% trained, 35% untrained", "1.37", "1 h 2 min"),
        *("60.0% → 60.0%", "= unchanged", "50.0% → 50.0%", "51.2% → 63.4% ▲ 12.2 points", "3 → 3 of 5 documents"),
        *("1 min 15 s", "1.500 1.100 0.400 1.750 81.5% 62.5% 2e-05 21.50", "2 ★", "chosen: epoch 2"),
        *("letter taken for invoice: 1 of 2", "letter, right: 2 of 2"),
        *("0.380 → 0.340 ▼ 0.040, better", "Before: calibration error 0.380"),
        *("invoice 31 2 50.0% 100.0% ▲ 50.0 points", "letter 17 2 100.0% 50.0% ▼ 50.0 points"),
        *("1 document put right", "1 document spoilt", "1 document still wrong", "80.0% ✕ invoice 60.0%"),
        *(
            "train 41",
            "validation 13",
            "test 5",
            "eeeeeeeeeeee… no text could be read",
            "photos/scan.heic no such file",
        ),
        *("loss.margin 0.35", "the untrained model → checkpoint 2 → checkpoint 5 → this one"),
    ):
        assert said in text


def test_a_document_is_named_in_short_and_in_full() -> None:
    page = to_html(report(), "checkpoint 7")
    assert f'<code class="hash" title="{IDS[1]}">{IDS[1][:12]}…</code>' in page


def test_a_smaller_calibration_error_is_better() -> None:
    better, worse = (
        nothing_measured().model_copy(update={"ece": 0.1}),
        nothing_measured().model_copy(update={"ece": 0.3}),
    )
    assert '<span class="good">▼ 0.200, better</span>' in to_html(report(before=worse, after=better), "x")
    assert '<span class="bad">▲ 0.200, worse</span>' in to_html(report(before=better, after=worse), "x")


def test_a_rejection_says_so_and_why() -> None:
    page = to_html(report(accepted=False, reasons=["letter lost 50 points"]), "checkpoint 7")
    assert '<div class="verdict bad">' in page
    assert "✕ Rejected: what served before stays letter lost 50 points" in read(page).text


def test_what_people_wrote_is_text_and_never_markup() -> None:
    evil = "<script>alert('&\"')</script>"
    probabilities = np.array([[0.4, 0.6], [0.7, 0.3]])
    measured = measure([evil, "b"], [evil, "b"], probabilities)
    page = to_html(
        report(
            **dict.fromkeys(("class_set", "encoder"), evil),
            labels={evil: 1, "b": 2},
            held_out=[evil],
            skipped={evil: evil},
            reasons=[evil],
            settings={evil: {evil: evil}},
            before=measured,
            after=measured,
            flips=flips_of([evil] * 2, [evil, "b"], [evil, "b"], probabilities, probabilities[:, ::-1]),
        ),
        evil,
    )
    assert "<script" not in page
    assert evil in read(page).text


def test_a_report_of_nothing_is_a_page_all_the_same() -> None:
    nothing = report(
        **dict.fromkeys(("parents", "held_out", "history", "reasons", "flips"), ()),
        **{name: {} for name in ("labels", "documents", "skipped", "settings")},
        **dict.fromkeys(("before", "after"), nothing_measured()),
        **dict.fromkeys(("unseen_before", "unseen_after", "chosen_epoch")),
    )
    text = read(to_html(nothing, "nothing")).text
    for said in (
        *("No class was held out", "No epoch was trained.", "There were no test documents.", "There were no labels."),
        *("Every test document is decided as before.", "Nothing was left out.", "There were no documents."),
        "Comes from the untrained model → this one .",
    ):
        assert said in text


def test_one_epoch_without_validation_is_drawn() -> None:
    lonely = epoch("training", 1, validation_loss=None, seen_accuracy=None, unseen_accuracy=None)
    text = read(to_html(report(history=[lonely], held_out=[], chosen_epoch=None), "x")).text
    assert "Nothing was measured." in text
    assert "training, training, epoch 1: 1.500" in text
    assert "chosen:" not in text


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 0.999, 1.0])
def test_the_scale_of_accuracy_never_leaves_zero_to_one(accuracy: float) -> None:
    page = to_html(report(history=[epoch("rehearsal", 1, seen_accuracy=accuracy, unseen_accuracy=accuracy)]), "x")
    shares = [float(share) for share in re.findall(r">(-?[\d.]+)%</text>", page)]
    assert min(shares) >= 0
    assert max(shares) <= 100


def test_forty_classes_with_long_names_share_one_order() -> None:
    names = [f"a_class_with_quite_a_long_name_{index:02}" for index in range(40)]
    probabilities = np.eye(40)[::-1]
    page = to_html(report(before=measure(names, names, np.eye(40)), after=measure(names, names, probabilities)), "x")
    titles = re.findall(r"<text[^>]*><title>(a_class[^<]*)</title>", page)
    assert titles[::2] == names * 2
    assert titles[1::2] == names * 2
    read(page)
