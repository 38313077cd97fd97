import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from printed import pdf

from core.answer import Inquiry, not_found
from core.answer_evaluation import (
    AnswerReport,
    Judged,
    KnownQuestion,
    agrees,
    evaluate,
    evaluate_questions,
    read_questions,
)
from core.backends.fake import Fake
from core.contract import Answer, Evidence
from core.errors import RejectedInput
from core.question import Question
from core.settings import Model, Reading, Settings

KEYS = ["questions", "exact_match", "anls", "not_found_f1", "evidence_hit_rate", "seconds_per_question", "by_field"]


def known(*answers: str, file: str = "x.pdf", question: str = "What is the total?", field: str | None = None) -> Any:
    return KnownQuestion(file=file, question=question, answers=answers, field=field)


def judged(
    gold: Sequence[str], printed: str | None, *, line: str = "", kind: str = "extraction", **more: Any
) -> Judged:
    answer = Answer(
        question="What is the total?",
        kind=kind,  # type: ignore[arg-type]
        status="not_found" if printed is None else "answered",
        answer=printed,
        confidence=more.pop("confidence", 0.9),
        evidence=[Evidence(page=1, box=(0, 0, 9, 9), text=text) for text in line.split("/") if text],
    )
    return Judged(known(*gold, **more), answer, 0.5)


def unread(*gold: str) -> Judged:
    return Judged(known(*gold, file="broken.pdf"), None, 0.1, "unreadable")


@pytest.mark.parametrize(
    ("printed", "gold"),
    [
        ("20-10-2015", "2015-10-20"),
        ("August 3 , 2014", "2014-08-03"),
        ("Monday, 5 May 2014", "2014-05-05"),
        ("6/10/2019 13:59", "6/10/2019"),
        ("03/04/2023", "2023-04-03"),
        ("03/04/2023", "2023-03-04"),
        ("1/6/1958", "01/06/1958"),
        ("$4.11", "4.11"),
        ("1.939,00 €", "1939.00"),
        ("19 %", "19%"),
        ("three", "3"),
        ("  TALBOT, ", "Talbot"),
        ("(BLR_WFLD2015)", "#BLR_WFLD2015"),
        ("CAFE\u0301  Noir", "Café Noir"),
        ("\uff21\uff22\uff11", "AB1"),
    ],
)
def test_answers_agree_by_what_they_say(printed: str, gold: str) -> None:
    assert agrees(printed, gold)


@pytest.mark.parametrize(
    ("printed", "gold"),
    [
        ("03/04/2023", "04/03/2023"),
        ("08.12.2020", "2020-08-12"),
        ("1 Jan 2020 - 5 Feb 2020", "2020-01-01"),
        ("€4.11", "$4.11"),
        ("-5.00", "5.00"),
        ("34568", "034568"),
        ("ref 4711", "4711"),
        ("E00007730", "7730"),
        ("cafe", "café"),
        ("Paul Smith", "Paul"),
    ],
)
def test_answers_that_say_something_else_do_not_agree(printed: str, gold: str) -> None:
    assert not agrees(printed, gold)


def test_any_right_answer_will_do() -> None:
    report = evaluate([judged(["Malaysia", "MYS"], "MYS"), judged(["Malaysia", "MYS"], "Wales")])
    assert report.exact_match == 0.5


def test_anls_counts_near_answers_by_their_distance_and_far_ones_as_nothing() -> None:
    rows = [
        judged(["Contoso"], "Contosa"),  # one of seven letters
        judged(["Contoso"], "Walmart"),
        judged(["2015-10-20"], "20-10-2015"),  # right by value
        judged(["Contoso"], None),
        unread("Contoso"),
        judged([], None),
    ]
    assert evaluate(rows).anls == pytest.approx((6 / 7 + 0 + 1 + 0 + 0) / 5)


def test_not_found_is_scored_as_a_decision_of_its_own() -> None:
    rows = [
        judged([], None),
        judged([], None),
        judged([], "4711"),
        unread(),  # failing is not saying that there is nothing
        judged(["4711"], None),
        judged(["4711"], "4711"),
    ]
    precision, recall = 2 / 3, 2 / 4
    report = evaluate(rows)
    assert report.not_found_f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert report.exact_match == 0.5


def test_evidence_hits_where_it_holds_a_right_answer() -> None:
    rows = [
        judged(["2014-08-03"], "August 3, 2014", line="Invoice date: August 3, 2014"),
        judged(["12 Long Street Leeds"], "12 Long Street Leeds", line="12 Long Street/Leeds"),
        judged(["4.11"], "5.00", line="Total $5.00"),
        judged(["4.11"], None),
        judged([], "5.00", line="Total $5.00"),
        judged(["yes"], "yes", line="Total $5.00", kind="verification"),
    ]
    assert evaluate(rows).evidence_hit_rate == pytest.approx(2 / 3)


def test_figures_over_nothing_are_undefined() -> None:
    report = evaluate([judged(["4.11"], "4.11", kind="counting")])
    assert (report.exact_match, report.not_found_f1, report.evidence_hit_rate) == (1, None, None)
    report = evaluate([judged([], None)])
    assert (report.exact_match, report.anls, report.not_found_f1) == (None, None, 1)


def test_the_report_has_the_keys_that_scripts_read_for_each_field_too() -> None:
    report = evaluate([judged(["1"], "1", field="total"), judged(["1"], "2", field="tax"), judged(["1"], "2")])
    shown = json.loads(report.model_dump_json())
    assert list(shown) == KEYS
    assert list(shown["by_field"]) == ["tax", "total"]
    assert list(shown["by_field"]["tax"]) == KEYS[:-1]
    assert [shown["by_field"][name]["exact_match"] for name in ("tax", "total")] == [0, 1]
    assert evaluate([judged(["1"], "1")]).by_field == {}


def test_the_surest_miss_comes_first() -> None:
    rows = [judged(["1"], "2", confidence=0.6), judged(["1"], "1"), unread("1"), judged([], "3", confidence=0.9)]
    report = evaluate(rows)
    assert [item.printed for item in report.misses] == ["3", "2", None]
    assert report.unreadable == {"broken.pdf": "unreadable"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{not json", "line 2: Invalid JSON"),
        ('{"file": "a.pdf", "answers": []}', "line 2: question: Field required"),
        ('{"file": "a.pdf", "question": "Total?", "answers": "4.11"}', "line 2: answers: "),
        ('{"file": "a.pdf", "question": "Total?", "answers": [" "]}', "line 2: answers.0: "),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"file": "a.pdf", "question": "Total?", "answers": [4.11]}\n' + line)
    with pytest.raises(RejectedInput) as caught:
        read_questions(file)
    assert caught.value.code == "bad_questions"
    assert said in caught.value.message


def test_questions_are_read_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(
        '{"file": "a.pdf", "question": "Total?", "answers": ["4.11", 5], "field": "total"}\n\n'
        '{"file": "b.pdf", "question": "Total?", "answers": []}\n'
    )
    first, second = read_questions(file)
    assert (first.answers, first.field) == (("4.11", "5"), "total")
    assert (second.file, second.answers, second.field) == ("b.pdf", (), None)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\xfa"])
def test_a_file_without_questions_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_bytes(content)
    with pytest.raises(RejectedInput, match="bad_questions"):
        read_questions(file)


class LastWord:
    """Answers with the last word of the first line that holds what is asked for, if any."""

    fingerprint = "last word"
    needs_pixels = False

    def __init__(self) -> None:
        self.prepared = 0

    def prepare(self, inquiry: Inquiry) -> Inquiry:
        self.prepared += 1
        return inquiry

    def weight(self, prepared: Inquiry) -> int:
        return 1

    def run(self, batch: Sequence[tuple[Inquiry, Question]]) -> list[None]:
        return [None] * len(batch)

    def finish(self, prepared: Inquiry, question: Question, output: None) -> Answer:
        if question.kind == "document_type":
            name = prepared.document_type().name
            return Answer(question=question.text, kind=question.kind, status="answered", answer=name, confidence=1)
        for page in prepared.pages:
            for line in page.lines:
                if question.subject in line.text.lower():
                    return Answer(
                        question=question.text,
                        kind=question.kind,
                        status="answered",
                        answer=line.text.split()[-1],
                        confidence=1,
                        evidence=[Evidence(page=page.number, box=line.box, text=line.text)],
                    )
        return not_found(question, 1)


def test_a_document_is_read_once_for_all_its_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answerer = LastWord()
    monkeypatch.setattr(Fake, "answerer", lambda self, asking: answerer)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bill.pdf").write_bytes(pdf(["Invoice", "Invoice number: 4711", "Total: $4.11"]))
    (tmp_path / "letter.pdf").write_bytes(pdf(["Dear Ann", "I write to you at last"]))
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing else")
    seen: list[tuple[int, int]] = []
    report: AnswerReport = evaluate_questions(
        [
            known("4.11", file="in/bill.pdf", question="What is the total?"),
            known(file="letter.pdf", question="What is the total?"),
            known("4711", file="in/bill.pdf", question="What is the invoice number?"),
            known("invoice", file="in/bill.pdf", question="What kind of document is this?"),
            known("1", file="broken.pdf", question="What is the total?"),
            known("1", file="gone.pdf", question="What is the total?"),
            known("1", file="../elsewhere.pdf", question="What is the total?"),
        ],
        tmp_path,
        Settings(model=Model(backend="fake"), reading=Reading(processes=1)),
        lambda done, total: seen.append((done, total)),
    )
    assert answerer.prepared == 2
    assert seen[-1] == (7, 7)
    assert (report.questions, report.exact_match, report.not_found_f1, report.evidence_hit_rate) == (7, 0.5, 1, 1)
    assert report.unreadable == {
        "../elsewhere.pdf": "not_allowed",
        "broken.pdf": "unreadable",
        "gone.pdf": "not_found",
    }
    assert report.seconds_per_question is not None
    assert report.seconds_per_question > 0


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedInput, match="no_documents"):
        evaluate_questions([known("1")], tmp_path / "nothing", Settings(), lambda done, total: None)
