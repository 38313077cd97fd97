import numpy as np
import pytest

from core.errors import ModelFailure
from core.features import (
    CHUNK_WORDS,
    MAX_CHUNKS,
    MAX_TERMS,
    Features,
    features_of,
    mark_key,
    marks_of,
    part_texts,
    phrase_keys,
    term_key,
    words_of,
)
from core.page import Line, Page


def page(*texts: str, width: int = 1000, height: int = 1400, heights: tuple[int, ...] = ()) -> Page:
    tall = dict(enumerate(heights))
    lines = tuple(
        Line(text, (50, 50 + 60 * row, 50 + 12 * len(text), 50 + 60 * row + tall.get(row, 20)))
        for row, text in enumerate(texts)
    )
    return Page(1, width, height, "ocr", lines)


def features(of: Page) -> Features:
    return features_of(of, np.eye(4, dtype=np.float32)[:2])


def prominence(of: Page, term: str) -> int:
    found = features(of)
    (place,) = np.flatnonzero(found.keys == term_key(term))
    return int(found.prominence[place])


def test_features_survive_being_stored() -> None:
    stored = features(page("INVOICE", "Total due 45.00"))
    again = Features.from_bytes(stored.to_bytes())
    assert again.words == stored.words
    for name in ("vector", "keys", "prominence"):
        np.testing.assert_array_equal(getattr(again, name), getattr(stored, name))


@pytest.mark.parametrize("data", [b"", b"dif1", b"nope" + bytes(40), b"dif1" + bytes(9)])
def test_other_bytes_are_no_features(data: bytes) -> None:
    with pytest.raises(ModelFailure, match="bad_features"):
        Features.from_bytes(data)


def test_features_of_the_densest_page_stay_within_a_few_kilobytes() -> None:
    words = [f"word{number}{letter}" for number in range(60) for letter in "abcdefghijklmnopqrstuvwxyz"]
    dense = page(*(" ".join(words[start : start + 12]) for start in range(0, len(words), 12)))
    vectors = np.ones((4, 384), dtype=np.float32)
    stored = features_of(dense, vectors)
    assert len(stored.keys) <= MAX_TERMS + 10
    assert len(stored.to_bytes()) < 5_000


def test_the_title_weighs_a_third_of_the_vector() -> None:
    title, body = np.float32([1, 0]), np.float32([0, 1])
    found = features_of(page("Title", "text"), np.stack([title, body, body]))
    np.testing.assert_allclose(found.vector, [1 / 3, 2 / 3], atol=1e-3)


def test_a_page_of_one_part_has_its_vector() -> None:
    np.testing.assert_array_equal(features_of(page("a"), np.float32([[0, 1]])).vector, [0, 1])


@pytest.mark.parametrize(
    ("printed", "phrase"),
    [
        ("PURCHASEORDER", "purchase order"),
        ("Purchase Order", "purchase order"),
        ("PUR CHASE ORDER", "purchase order"),
        ("lNV0ICE", "invoice"),
        ("Retum of goods", "return"),
        ("Déclaration", "declaration"),
        ("Form W-2", "W2"),
        ("Form 10-K for the year", "10-K"),
        ("領収書", "領収書"),
        ("下記領収書様", "領収書"),
        ("TO:", "to"),
        ("pay to the order of", "pay to the order of"),
    ],
)
def test_a_phrase_is_found_as_readers_print_it(printed: str, phrase: str) -> None:
    assert phrase_keys(phrase)[0] in features(page(printed)).keys


def test_a_long_phrase_is_found_in_parts_across_lines() -> None:
    keys = phrase_keys("request for taxpayer identification number and certification")
    found = features(page("Request for Taxpayer", "Identification Number", "and Certification")).keys
    assert keys[0] not in found
    assert not set(keys).isdisjoint(
        features(page("please complete this request for taxpayer identification number")).keys.tolist()
    )


def test_a_phrase_of_stopwords_alone_counts_only_as_a_label() -> None:
    assert term_key("to") not in features(page("he went to the bank")).keys


def test_a_big_line_of_its_own_stands_out_over_the_same_word_in_running_text() -> None:
    text = "we will send the invoice to you by the end of next week if nothing else is agreed"
    assert prominence(page("INVOICE", text, text, heights=(60,)), "invoice") > 200
    assert prominence(page("Dear Sir", text, text), "invoice") < 60


def test_words_lose_case_and_accents() -> None:
    assert words_of("Reçu N° 12 — STRAßE") == ["recu", "n", "12", "strasse"]


@pytest.mark.parametrize(
    ("mark", "found_on"),
    [
        ("card", page("Ann Lee", "Director", width=900, height=550)),
        ("strip", page("Milk 1.20", width=400, height=1000)),
        ("mrz", page("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10")),
        ("amounts", page("1,200.00", "15.90", "3,50", "7.20", "99.99")),
        ("fields", page(*[f"Field {number}: ____" for number in range(9)])),
        ("prose", page(*["one two three four five six seven eight nine ten"] * 20)),
    ],
)
def test_layout_leaves_its_mark(mark: str, found_on: Page) -> None:
    assert mark in set(marks_of(found_on))
    assert mark_key(mark) in features(found_on).keys


def test_a_page_of_a_letter_is_no_card_and_no_strip() -> None:
    assert not {"card", "strip", "mrz", "amounts"} & set(marks_of(page("Dear Sir", "Thank you for your letter.")))


def test_parts_are_the_title_and_chunks_over_the_whole_length() -> None:
    lines = [" ".join(f"w{row}_{column}" for column in range(10)) for row in range(100)]
    title, *chunks = part_texts(page("THE TITLE", *lines, heights=(80,)))
    assert title.startswith("THE TITLE")
    assert len(chunks) == MAX_CHUNKS
    assert all(len(chunk.split()) <= CHUNK_WORDS for chunk in chunks)
    assert "w99_9" in chunks[-1]
