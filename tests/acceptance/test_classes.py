"""Real documents, read by OCR and decided without one example, one of each class."""

import shutil
from pathlib import Path

import pytest

from core.class_set import ClassSet
from core.evaluation import Report, evaluate_folder
from core.settings import Documents, Settings


@pytest.fixture(scope="module")
def report(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    class_set = ClassSet.from_yaml(shared / "documents" / "classes.yaml")
    chosen = tmp_path_factory.mktemp("documents")
    for folder in sorted(path for path in (shared / "documents").iterdir() if path.is_dir()):
        documents = sorted(folder.iterdir())
        few = documents[len(documents) // 2 :][:1]
        (chosen / folder.name).mkdir()
        for path in few:
            shutil.copy(path, chosen / folder.name)
    return evaluate_folder(chosen, class_set, Settings(documents=Documents(pages="first")), lambda done, total: None)


def test_one_plain_sentence_a_class_is_enough(report: Report) -> None:
    assert report.unreadable == {}
    assert report.macro_accuracy is not None
    assert report.macro_accuracy >= 0.85


def test_documents_of_other_classes_go_to_review_and_those_of_the_set_do_not(report: Report) -> None:
    assert report.out_of_set_review_share is not None
    assert report.review_share is not None
    assert report.out_of_set_review_share >= 0.5
    assert report.review_share <= 0.2
