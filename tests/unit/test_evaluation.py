from pathlib import Path

import pytest
from PIL import Image

from core.class_set import ClassSet
from core.classify import Decision
from core.errors import RejectedInput
from core.evaluation import NOTHING, Judged, calibration_error, evaluate, evaluate_folder, plot_confusion
from core.settings import Model, Reading, Settings

KEYS = {
    "documents",
    "accuracy",
    "macro_accuracy",
    "ece",
    "review_share",
    "accuracy_without_review",
    "out_of_set_documents",
    "out_of_set_review_share",
    "per_class",
    "confusion",
    "seconds_per_document",
}


def judged(truth: str, prediction: str | None, confidence: float = 0.9, *, review: bool = False) -> Judged:
    reasons = ("low_confidence",) if review else ()
    status = "needs_review" if review else "classified"
    return Judged(f"{truth}/x", truth, Decision(status, reasons, prediction, confidence, {}, 1.0, ()), 2.0)


ROWS = [
    *[judged("invoice", "invoice")] * 7,
    judged("invoice", "letter", review=True),
    judged("letter", "letter"),
    judged("letter", "invoice"),
    judged("menu", "letter", review=True),
    judged("menu", "invoice"),
    Judged("letter/broken.pdf", "letter", None, 0.5, "unreadable"),
]


def test_documents_of_other_classes_are_counted_apart() -> None:
    report = evaluate(ROWS, ["invoice", "letter"])
    assert report.documents == 11
    assert report.accuracy == pytest.approx(8 / 11)
    assert report.macro_accuracy == pytest.approx((7 / 8 + 1 / 3) / 2)
    assert report.review_share == pytest.approx(2 / 11)
    assert report.accuracy_without_review == pytest.approx(8 / 9)
    assert (report.out_of_set_documents, report.out_of_set_review_share) == (2, 0.5)
    assert report.seconds_per_document == pytest.approx((12 * 2 + 0.5) / 13)


def test_an_unreadable_document_is_wrong_and_reviewed_and_named() -> None:
    report = evaluate(ROWS, ["invoice", "letter"])
    assert report.unreadable == {"letter/broken.pdf": "unreadable"}
    assert report.confusion["letter"] == {NOTHING: 1, "invoice": 1, "letter": 1}
    assert report.per_class["letter"].documents == 3


def test_the_report_has_the_keys_that_scripts_read() -> None:
    assert set(evaluate(ROWS, ["invoice", "letter"]).model_dump(mode="json")) >= KEYS


def test_no_documents_have_no_accuracy() -> None:
    report = evaluate([judged("menu", "invoice")], ["invoice", "letter"])
    assert (report.documents, report.accuracy, report.ece, report.review_share) == (0, None, None, None)


def test_the_calibration_error_is_the_mean_distance_of_confidence_from_accuracy() -> None:
    assert calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0)
    assert calibration_error([1.0, 1.0], [True, False]) == pytest.approx(0.5)
    assert calibration_error([0.9] * 2 + [0.1] * 2, [True] * 2 + [False] * 2) == pytest.approx(0.1)


def test_the_confusion_is_drawn_as_a_png(tmp_path: Path) -> None:
    path = tmp_path / "confusion.png"
    plot_confusion(evaluate(ROWS, ["invoice", "letter"]), path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300


def test_a_folder_is_evaluated_with_its_broken_files_and_other_classes(tmp_path: Path) -> None:
    for name in ("invoice", "letter", "menu"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (400, 500), "white").save(tmp_path / name / "blank.png")
    (tmp_path / "invoice" / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing else")
    (tmp_path / "labels.csv").write_text("class,file\n")
    (tmp_path / "letter" / ".hidden").write_text("")
    settings = Settings(model=Model(backend="fake"), reading=Reading(processes=1))
    seen: list[tuple[int, int]] = []
    report = evaluate_folder(
        tmp_path,
        ClassSet.one_off(["invoice", "letter"]),
        settings,
        lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (report.documents, report.out_of_set_documents) == (3, 1)
    assert list(report.unreadable) == ["invoice/broken.pdf"]
    assert report.review_share == 1


def test_a_folder_without_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedInput, match="no_documents"):
        evaluate_folder(tmp_path, ClassSet.one_off(["invoice", "letter"]), Settings(), lambda done, total: None)
