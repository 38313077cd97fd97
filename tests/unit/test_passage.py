from core.extraction.layout import layout_of
from core.extraction.passage import passages
from core.page import Line, Page


def a_page(*texts: str) -> Page:
    return Page(
        1, 1000, 1000, "ocr", tuple(Line(text, (50, 30 * row, 900, 30 * row + 24)) for row, text in enumerate(texts))
    )


def test_the_lines_of_a_paragraph_are_one_text_that_knows_its_lines() -> None:
    page = a_page("The lease between Ann Archer and the", "Dunmore Harbour Company begins on 3 March", "2024.")
    (passage,) = passages(layout_of(page))
    assert passage.text == "The lease between Ann Archer and the Dunmore Harbour Company begins on 3 March 2024."
    start = passage.text.index("3 March 2024")
    assert passage.lines_of(start, start + len("3 March 2024")) == (1, 2)
    assert passage.is_prose


def test_a_word_parted_at_the_end_of_a_line_is_joined() -> None:
    (passage,) = passages(layout_of(a_page("It was agreed by both of the par-", "ties that nothing more is owed.")))
    assert "of the parties that" in passage.text


def test_short_lines_stand_by_themselves() -> None:
    found = passages(layout_of(a_page("Invoice", "Number 4711", "Total 12.00")))
    assert [passage.text for passage in found] == ["Invoice", "Number 4711", "Total 12.00"]
    assert not any(passage.is_prose for passage in found)


def test_sentences_end_at_full_stops_but_not_at_abbreviations() -> None:
    (passage,) = passages(
        layout_of(
            a_page("Dr. Archer of Harbour Inc. signed it on Monday. The fee was paid at once. It was", "small.")
        )
    )
    assert [passage.text[start:end] for start, end in passage.sentences()] == [
        "Dr. Archer of Harbour Inc. signed it on Monday.",
        "The fee was paid at once.",
        "It was small.",
    ]
