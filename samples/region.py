"""How one country writes names, addresses, dates and money. All people and places here are invented."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from samples.words import vocabulary

Language = Literal["en", "de", "fr", "es"]


@dataclass(frozen=True)
class Region:
    """One country's ways. In `phone` a # stands for a digit; `towns` are (town, postcode pattern)."""

    code: str
    country: str
    language: Language
    currency: str
    symbol: str
    symbol_first: bool
    thousands: str
    decimal: str
    dates: Sequence[str]
    months: Sequence[str]
    given_female: Sequence[str]
    given_male: Sequence[str]
    family: Sequence[str]
    streets: Sequence[str]
    towns: Sequence[tuple[str, str]]
    phone: str
    tax_rates: Sequence[int]  # hundredths of a percent
    tax_name: str
    company_form: Sequence[str]
    domain: str
    number_first: bool
    town_first: bool

    def money(self, cents: int) -> str:
        """1234567 → "$12,345.67" or "12.345,67 €", as the country prints it."""
        sign, amount = ("-" if cents < 0 else ""), self.amount(abs(cents))
        return f"{sign}{self.symbol}{amount}" if self.symbol_first else f"{sign}{amount} {self.symbol}"

    def amount(self, cents: int) -> str:
        """`money` without its symbol."""
        whole, rest = divmod(abs(cents), 100)
        grouped = f"{whole:,}".replace(",", self.thousands)
        return f"{'-' if cents < 0 else ''}{grouped}{self.decimal}{rest:02d}"


REGIONS = {code: Region(code=code, **ways) for code, ways in vocabulary("region").items()}
