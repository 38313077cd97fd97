import pytest

from core.page import Page
from core.understanding import understand
from samples import CLASSES
from samples.composed import Composition
from samples.rendered import rendered

SEEDS = range(60)


@pytest.fixture(scope="module")
def documents() -> list[Composition]:
    return [rendered(seed) for seed in SEEDS]


def test_a_seed_gives_the_same_document_each_time(documents: list[Composition]) -> None:
    assert [rendered(seed) for seed in range(3)] == documents[:3]


def test_documents_of_many_classes_are_drawn(documents: list[Composition]) -> None:
    assert {item.kind for item in documents} <= set(CLASSES)
    assert len({item.kind for item in documents}) > len(CLASSES) / 2


def test_an_answer_stands_on_its_page_where_it_is_said_to(documents: list[Composition]) -> None:
    for item in documents:
        for asked in item.questions:
            if asked.answer is not None:
                there = _text_at(item.pages[asked.page - 1], asked.box)
                assert all(part in there for part in asked.answer.split("\n")), asked


def test_every_document_is_asked_in_vain_too(documents: list[Composition]) -> None:
    for item in documents:
        answers = [asked.answer for asked in item.questions]
        assert 0 < answers.count(None) < len(answers)


def test_about_a_quarter_of_the_questions_has_no_answer(documents: list[Composition]) -> None:
    answers = [asked.answer for item in documents for asked in item.questions]
    assert answers.count(None) / len(answers) == pytest.approx(0.26, abs=0.05)


def test_a_field_asked_in_vain_is_not_asked_with_success(documents: list[Composition]) -> None:
    for item in documents:
        found = {asked.field for asked in item.questions if asked.answer is not None}
        missed = {asked.field for asked in item.questions if asked.answer is None}
        assert not found & missed


def test_questions_are_understood_as_asking_for_something_on_the_page(documents: list[Composition]) -> None:
    kinds = [understand(asked.question).kind for item in documents for asked in item.questions]
    assert kinds.count("extraction") / len(kinds) > 0.9


def _text_at(page: Page, box: tuple[float, float, float, float]) -> str:
    """The lines that the box touches."""
    left, top, right, bottom = box
    return "\n".join(
        line.text
        for line in page.lines
        if line.box[0] < right and line.box[2] > left and line.box[1] < bottom and line.box[3] > top
    )
