import numpy as np
import pytest

from core.class_set import DocumentClass
from core.features import marks_of, phrase_keys
from core.genres import KIND, MENTION, PARTLY, Genre, genres, resemblance
from core.page import Line, Page

GENRES = (
    Genre("invoice", ("bill",), ("financial document",), "A bill.", ("amount due",), (), ""),
    Genre("loan application", ("credit application",), ("application form", "tax form"), "A form.", (), (), ""),
    Genre("letter", ("Brief",), ("correspondence",), "A letter.", (), (), ""),
)


def resembled(name: str, description: str = "", cosines: tuple[float, ...] = (0, 0, 0)) -> list[float]:
    item = DocumentClass(name=name, description=description)
    found = resemblance([item], np.float32([cosines]), GENRES, np.eye(3, dtype=np.float32))
    return [round(float(value), 2) for value in found[0]]


def test_the_lexicon_is_wide_and_complete() -> None:
    assert 120 <= len(genres()) <= 200
    for genre in genres():
        assert genre.description.endswith("."), genre.name
        assert len(genre.aliases) >= 2, genre.name
        assert len(genre.sample) >= 30, genre.name
        assert all(phrase_keys(phrase) for phrase in (*genre.names, *genre.kinds)), genre.name


def test_the_lexicon_names_only_marks_that_pages_get() -> None:
    pages = [
        Page(1, 900, 500, "ocr", (Line("P<UTOLEE<<ANN<<<<<<<<<<<<<<<<<", (0, 0, 500, 20)),)),
        Page(1, 400, 1000, "ocr", tuple(Line(f"Milk: {y}.20", (0, 30 * y, 90, 30 * y + 20)) for y in range(40))),
        Page(1, 1000, 1400, "ocr", tuple(Line("word " * 10, (0, 30 * y, 900, 30 * y + 20)) for y in range(40))),
        Page(1, 1600, 900, "ocr", tuple(Line("a point " * 9, (0, 50 * y, 900, 50 * y + 30)) for y in range(10))),
    ]
    given = {mark for page in pages for mark in marks_of(page)}
    assert {mark for genre in genres() for mark in genre.layout} <= given


@pytest.mark.parametrize(
    ("name", "description", "index", "strength"),
    [
        ("invoice", "", 0, 1.0),
        ("Invoices", "", 0, 1.0),
        ("bill", "", 0, 1.0),
        ("application_form", "", 1, KIND),
        ("requests", "Such as a credit application or a petition.", 1, MENTION),
        ("letter or memo", "", 2, MENTION),
        ("complaint letter", "", 2, KIND),
        ("tax", "", 1, KIND),
    ],
)
def test_a_class_resembles_a_genre_by_its_words(name: str, description: str, index: int, strength: float) -> None:
    found = resembled(name, description)
    assert found[index] == pytest.approx(strength, abs=0.01)
    assert max(value for place, value in enumerate(found) if place != index) < 0.1


def test_a_class_that_is_partly_named_like_two_genres_is_raised_to_a_kind() -> None:
    assert PARTLY < KIND
    assert resembled("tax letter") == [0.0, 0.0, pytest.approx(KIND, abs=0.01)]


def test_a_class_resembles_a_genre_by_what_it_means() -> None:
    near, halfway, far = resembled("accounts payable", cosines=(0.8, 0.6, 0.1))
    assert near > 0.95
    assert 0.4 < halfway < 0.6
    assert far < 0.01


def test_a_class_like_nothing_known_resembles_nothing() -> None:
    assert max(resembled("zebra", cosines=(0.3, 0.2, 0.1))) < 0.02


def test_a_description_that_begins_with_a_genre_means_it() -> None:
    assert resembled("old", "An invoice that came by post.")[0] == pytest.approx(MENTION, abs=0.01)
    assert resembled("old", "What came by post with an invoice.")[0] < 0.1


def test_a_genre_that_is_called_by_a_stopword_is_known_by_name_alone() -> None:
    will = next(genre for genre in genres() if genre.name == "will")
    found = resemblance(
        [DocumentClass(name="will"), DocumentClass(name="zebra")], np.zeros((2, 1)), [will], np.zeros((1, 1))
    )
    assert found[0, 0] == 1
    assert found[1, 0] < 0.1
