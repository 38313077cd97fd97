from typing import get_args

import pytest

from core.extraction.candidate import Candidate
from core.extraction.fit import fits
from core.question import Expected
from core.value import find_values


def candidate(text: str) -> Candidate:
    kinds = frozenset(value.kind for value in find_values(text) if (value.start, value.end) == (0, len(text)))
    return Candidate(0, (0,), text, kinds, "", "", "", "line")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3 March 2024", "date"),
        ("March 2024", "date"),
        ("2024", "date"),
        ("14:35", "time"),
        ("$1,250.00", "amount"),
        ("1250.00", "amount"),
        ("12", "number"),
        ("three", "number"),
        ("19 %", "percent"),
        ("INV-2024/077", "identifier"),
        ("0042", "identifier"),
        ("RM", "identifier"),
        ("Ann Archer", "person"),
        ("3M Company", "organisation"),
        ("12 Quay Street\nDunmore", "address"),
        ("Ireland", "country"),
        ("+353 1 555 0142", "phone"),
        ("ann@harbour.example", "email"),
        ("www.harbour.example", "url"),
        ("ann@harbour.example", "url"),
    ],
)
def test_what_looks_like_the_answer_may_be_it(text: str, expected: Expected) -> None:
    assert fits(candidate(text), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ann Archer", "date"),
        ("$12.00", "date"),
        ("The last of the deliveries was made on a day in 2024", "date"),
        ("1250", "time"),
        ("Dunmore", "amount"),
        ("3 March 2024", "amount"),
        ("Dunmore", "number"),
        ("Dunmore", "percent"),
        ("Ann Archer", "identifier"),
        ("3 March 2024", "identifier"),
        ("ann@harbour.example", "identifier"),
        ("INV-2024/077", "person"),
        ("$12.00", "person"),
        ("ann@harbour.example", "organisation"),
        ("3 March 2024", "address"),
        ("4711", "address"),
        ("353", "country"),
        ("12", "phone"),
        ("Ann Archer", "email"),
        ("Ann Archer", "url"),
    ],
)
def test_what_looks_like_something_else_cannot_be_the_answer(text: str, expected: Expected) -> None:
    assert not fits(candidate(text), expected)


@pytest.mark.parametrize("text", ["Ann Archer", "$12.00", "3 March 2024", "-"])
def test_anything_is_a_text(text: str) -> None:
    assert fits(candidate(text), "text")


def test_every_kind_of_answer_has_its_check() -> None:
    assert {fits(candidate("-"), expected) for expected in get_args(Expected)} == {True, False}
