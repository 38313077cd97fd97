from collections import Counter

import pytest

from core.page import Line
from core.understanding import understand
from samples.composed import KINDS, UNANSWERABLE, Composition, compose

SEEDS = range(240)


@pytest.fixture(scope="module")
def compositions() -> list[Composition]:
    return [compose(seed) for seed in SEEDS]


def test_a_seed_gives_the_same_document_each_time(compositions: list[Composition]) -> None:
    assert [compose(seed) for seed in range(12)] == compositions[:12]


def test_no_two_documents_are_alike(compositions: list[Composition]) -> None:
    assert len({item.pages for item in compositions}) == len(compositions)


def test_every_kind_of_document_is_made(compositions: list[Composition]) -> None:
    assert {item.kind for item in compositions} == set(KINDS)


def test_an_answer_stands_in_the_lines_inside_its_box(compositions: list[Composition]) -> None:
    for item in compositions:
        for asked in item.questions:
            if asked.answer is not None:
                lines = [line for line in item.pages[asked.page - 1].lines if _within(line, asked.box)]
                for part in asked.answer.split("\n"):
                    assert any(part in line.text for line in lines), asked


def test_a_share_of_the_questions_has_no_answer(compositions: list[Composition]) -> None:
    answers = [asked.answer for item in compositions for asked in item.questions]
    assert answers.count(None) / len(answers) == pytest.approx(UNANSWERABLE, abs=0.05)


def test_a_field_asked_in_vain_is_not_asked_with_success(compositions: list[Composition]) -> None:
    for item in compositions:
        found = {asked.field for asked in item.questions if asked.answer is not None and asked.field}
        missed = {asked.field for asked in item.questions if asked.answer is None and asked.field}
        assert not found & missed


def test_questions_are_understood_as_asking_for_something_on_the_page(compositions: list[Composition]) -> None:
    kinds = Counter(understand(asked.question).kind for item in compositions for asked in item.questions)
    assert kinds["extraction"] / kinds.total() > 0.9


def test_lines_stand_on_their_page(compositions: list[Composition]) -> None:
    for item in compositions:
        for page in item.pages:
            for line in page.lines:
                left, top, right, bottom = line.box
                assert 0 <= left < right <= page.width + 1
                assert 0 <= top < bottom <= page.height + 1


def _within(line: Line, box: tuple[float, float, float, float]) -> bool:
    return all(a >= b for a, b in zip(line.box[:2], box[:2], strict=True)) and all(
        a <= b for a, b in zip(line.box[2:], box[2:], strict=True)
    )
