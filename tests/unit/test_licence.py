from core.extraction.candidate import candidates_of
from core.extraction.layout import layout_of
from core.extraction.licence import with_labels
from core.field import LEXICON
from core.page import Line, Page


def labels(*texts: str) -> dict[str, str]:
    """What each candidate of a card with these lines is labelled."""
    lines = [Line(text, (50, 40 * row, 50 + 14 * len(text), 40 * row + 24)) for row, text in enumerate(texts)]
    layouts = [layout_of(Page(1, 1000, 640, "ocr", tuple(lines)))]
    return {candidate.text: candidate.inline for candidate in with_labels(candidates_of(layouts, LEXICON), layouts)}


def test_numbers_are_labels_on_a_driving_licence() -> None:
    found = labels("DRIVER LICENSE", "1ARCHER", "2 ANN MARIA", "3. 12.08.1974", "5. 13AA00001")
    assert found["ARCHER"] == "surname"
    assert found["ANN MARIA"] == "given names"
    assert found["12.08.1974"] == "date of birth"
    assert found["13AA00001"] == "licence number"


def test_where_4d_is_the_licence_s_number_5_is_not() -> None:
    found = labels("DRIVER LICENSE", "4d WDL12345", "5 DDX99")
    assert found["WDL12345"] == "licence number"
    assert found["DDX99"] != "licence number"


def test_numbers_mean_nothing_on_other_documents() -> None:
    assert labels("RECEIPT", "2 ANN MARIA CAKES")["ANN MARIA CAKES"] != "given names"
