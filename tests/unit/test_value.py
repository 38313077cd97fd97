from datetime import date
from decimal import Decimal

import pytest

from core.value import (
    find_values,
    is_day_first,
    normalise,
    read_amount,
    read_date,
    read_integer,
    read_period,
    read_yes_no,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2014-08-03", "2014-08-03"),
        ("2014/8/3", "2014-08-03"),
        ("20140803", "2014-08-03"),
        ("3.8.14", "2014-08-03"),
        ("31-12-2020", "2020-12-31"),
        ("12/31/99", "1999-12-31"),
        ("14 10 2030", "2030-10-14"),
        ("14 OCT 2030", "2030-10-14"),
        ("14OCT2030", "2030-10-14"),
        ("14 0CT 2030", "2030-10-14"),
        ("l4 OCT 2030", "2030-10-14"),
        ("Oct. 14th, 2030", "2030-10-14"),
        ("14 October 2030", "2030-10-14"),
        ("14 OCT/OCT 2030", "2030-10-14"),
        ("02 NOV/NOV 1975", "1975-11-02"),
        ("10 Mai/May 2019", "2019-05-10"),
        ("lundi 3 mars 2014", "2014-03-03"),
        ("1er août 2019", "2019-08-01"),
        ("3. März 2014", "2014-03-03"),
        ("5 de mayo de 2020", "2020-05-05"),
        ("7 gennaio 2021", "2021-01-07"),
        ("9 de março de 2018", "2018-03-09"),
        ("12 maart 2017", "2017-03-12"),
        ("2014年8月3日", "2014-08-03"),
        ("2014년 8월 3일", "2014-08-03"),
        ("28Nov2022", "2022-11-28"),
        ("November28,2022", "2022-11-28"),
        ("27/O3/2018", "2018-03-27"),
        ("25/12/2018 8:13:39 PM", "2018-12-25"),
        ("Jan 5 '99", "1999-01-05"),
        ("12-Sep-20", "2020-09-12"),
        ("2030 OCT 14", "2030-10-14"),
        ("Dated this 3rd day of March, 2014", "2014-03-03"),
        ("due on the 5th of June 2021 at the latest", "2021-06-05"),
    ],
)
def test_a_printed_date_is_read(text: str, expected: str) -> None:
    assert read_date(text)[0].isoformat() == expected


@pytest.mark.parametrize("text", ["32/13/2020", "29/02/2021", "555-123-4567", "192.168.1.10", "March", "12:30", ""])
def test_what_is_no_date_gives_none(text: str) -> None:
    assert read_date(text) == []


def test_day_and_month_that_may_be_swapped_give_both_readings() -> None:
    assert read_date("03/08/2014", day_first=True) == [date(2014, 8, 3), date(2014, 3, 8)]
    assert read_date("03/08/2014", day_first=False) == [date(2014, 3, 8), date(2014, 8, 3)]
    assert read_date("03.08.2014", day_first=False)[0] == date(2014, 8, 3)
    assert read_date("13/08/2014", day_first=False) == [date(2014, 8, 13)]


def test_a_document_tells_how_it_writes_dates() -> None:
    assert is_day_first("from 03/08/2014 to 25/08/2014, $4.00") is True
    assert is_day_first("from 03/08/2014 to 03/25/2014, €4.00") is False
    assert is_day_first("03/08/2014 Total €4.00") is True
    assert is_day_first("03/08/2014 Total $4.00") is False
    assert is_day_first("03/08/2014") is None


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2023", "2023-01-01", "2023-12-31"),
        ("March 2020", "2020-03-01", "2020-03-31"),
        ("02/2024", "2024-02-01", "2024-02-29"),
        ("2024-12", "2024-12-01", "2024-12-31"),
        ("Q4 2020", "2020-10-01", "2020-12-31"),
        ("4 May 2020", "2020-05-04", "2020-05-04"),
    ],
)
def test_a_period_has_a_first_and_a_last_day(text: str, first: str, last: str) -> None:
    assert read_period(text) == (date.fromisoformat(first), date.fromisoformat(last))


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("$2,516.28", "2516.28", "USD"),
        ("USD 4.11", "4.11", "USD"),
        ("4.11 USD", "4.11", "USD"),
        ("$4.11 CAD", "4.11", "CAD"),
        ("€1.234,56", "1234.56", "EUR"),
        ("1 234,56 €", "1234.56", "EUR"),
        ("1'234.50 CHF", "1234.50", "CHF"),
        ("RM 12.50", "12.50", "MYR"),
        ("RM12.50", "12.50", "MYR"),
        ("Rs. 319.00", "319.00", "INR"),
        ("₹1,00,000.00", "100000.00", "INR"),
        ("¥1,200", "1200", "JPY"),
        ("£12", "12", "GBP"),
        ("R$ 10,00", "10.00", "BRL"),
        ("100 kr.", "100", None),
        ("50 euros", "50", "EUR"),
        ("(12.00)", "-12.00", None),
        ("$(5.00)", "-5.00", "USD"),
        ("-12.00", "-12.00", None),
        ("-$12.00", "-12.00", "USD"),
        ("12.00-", "-12.00", None),
        ("1,939 ", "1939", None),
        ("1.234", "1234", None),
        ("0.125", "0.125", None),
        ("12. 50", "12.50", None),
        ("$ 12 .50", "12.50", "USD"),
        ("$1.2 million", "1200000", "USD"),
        ("TOTAL 2 items 45.00", "45.00", None),
    ],
)
def test_a_printed_amount_is_read_to_the_last_digit(text: str, amount: str, currency: str | None) -> None:
    value = read_amount(text)
    assert value is not None
    assert (value.amount, value.currency) == (Decimal(amount), currency)


def test_a_text_without_digits_has_no_amount() -> None:
    assert read_amount("free of charge") is None


@pytest.mark.parametrize(
    ("text", "integer"),
    [
        ("4", 4),
        ("1,939", 1939),
        ("12,345,678 shares", 12345678),
        ("three (3)", 3),
        ("Three", 3),
        ("Guests: 4", 4),
        ("-3", -3),
        ("A-5", 5),
        ("3.5", None),
        ("none", None),
    ],
)
def test_a_whole_number_is_read(text: str, integer: int | None) -> None:
    assert read_integer(text) == integer


@pytest.mark.parametrize(
    ("text", "yes"),
    [("Yes", True), ("NO", False), ("Oui", True), ("nein.", False), ("No. 5", None), ("nobody", None)],
)
def test_yes_and_no_are_read(text: str, yes: bool | None) -> None:
    assert read_yes_no(text) is yes


def test_an_answer_is_normalised_by_what_was_expected() -> None:
    assert normalise("date", "3.8.14").model_dump(mode="json") == {"type": "date", "date": "2014-08-03"}  # type: ignore[union-attr]
    assert normalise("amount", "$2,516.28").model_dump(mode="json") == {  # type: ignore[union-attr]
        "type": "amount",
        "amount": "2516.28",
        "currency": "USD",
    }
    assert normalise("number", "4 pieces").model_dump() == {"type": "integer", "integer": 4}  # type: ignore[union-attr]
    assert normalise("text", "Yes").model_dump() == {"type": "yes_no", "yes": True}  # type: ignore[union-attr]
    assert normalise("person", "John Smith") is None
    assert normalise("date", "tomorrow") is None


@pytest.mark.parametrize(
    ("line", "mentions"),
    [
        ("Total $ 2,516.28 USD", [("amount", "$ 2,516.28 USD")]),
        ("Due 14 OCT 2030 at 10:30 AM", [("date", "14 OCT 2030"), ("time", "10:30 AM")]),
        ("VAT 8.25% incl.", [("percent", "8.25%")]),
        ("(555) 123-4567", [("phone", "(555) 123-4567")]),
        ("Tel +50 51 520 242-264", [("phone", "+50 51 520 242-264")]),
        ("a.b@example.com www.example.com/x", [("email", "a.b@example.com"), ("url", "www.example.com/x")]),
        ("IBAN DE89 3704 0044 0532 0130 00", [("identifier", "DE89 3704 0044 0532 0130 00")]),
        ("Invoice INV-2041/7", [("identifier", "INV-2041/7")]),
        ("file tstb-99-525", [("identifier", "tstb-99-525")]),
        ("par value $0.00000625", [("amount", "$0.00000625")]),
        ("ends June 30,", [("date", "June 30")]),
        ("SSN 123-45-6789", [("identifier", "123-45-6789")]),
        ("EUR 1.234,56-", [("amount", "EUR 1.234,56-")]),
        ("Guests: 4", [("number", "4")]),
        ("1,939", [("amount", "1,939"), ("number", "1,939")]),
        ("123454321", [("identifier", "123454321"), ("number", "123454321")]),
        ("Expiry 02/2026", [("date", "02/2026"), ("identifier", "02/2026")]),
        ("Thank you for your visit.", []),
        ("", []),
    ],
)
def test_everything_typed_in_a_line_is_found(line: str, mentions: list[tuple[str, str]]) -> None:
    found = find_values(line)
    assert [(mention.kind, mention.text) for mention in found] == mentions
    assert all(line[mention.start : mention.end] == mention.text for mention in found)
