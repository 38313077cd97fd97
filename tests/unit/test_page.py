import json

from core.page import Line, Page

TURNED = Page(2, 850, 1100, "ocr", (Line("Total 3.40", (40, 60, 300, 90), 0.9),), turns=3)


def test_a_page_comes_back_from_json_as_it_was() -> None:
    assert Page.from_json(json.loads(json.dumps(TURNED.to_json()))) == TURNED


def test_a_page_that_was_written_before_turns_were_is_taken_for_upright() -> None:
    written = TURNED.to_json()
    del written["turns"]
    assert Page.from_json(written).turns == 0


def test_the_text_of_a_page_is_its_lines() -> None:
    assert Page(1, 10, 10, "ocr", (Line("one", (0, 0, 5, 5)), Line("two", (0, 5, 5, 10)))).text == "one\ntwo"
