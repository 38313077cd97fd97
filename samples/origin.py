"""Where a document comes from: a country, a hand that writes dates one way, a typeface, and a stream of chance."""

import datetime
import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from samples.paper import A4, FACES, LETTER, Colour, Paper, tint
from samples.region import Region
from samples.words import vocabulary

Choice = TypeVar("Choice")
_PLAIN = str.maketrans("äöüßÄÖÜéèêëçàâáîïíôóûúñÉÁÍ", "aousAOUeeeecaaaiiioouunEAI")


@dataclass(frozen=True)
class Person:
    given: str
    family: str
    sex: str
    born: datetime.date
    address: tuple[str, ...]
    phone: str
    email: str

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}"


@dataclass(frozen=True)
class Company:
    name: str
    address: tuple[str, ...]
    phone: str
    email: str
    web: str
    tax_number: str


class Origin:
    """One document's source. Everything it gives is drawn from `rng`: the same seed, the same document."""

    def __init__(self, rng: random.Random, region: Region) -> None:
        self.rng = rng
        self.region = region
        self.language = region.language
        self.face = rng.choices(FACES, (6, 3, 1))[0]
        self.colour: Colour = tint(rng)
        self.pale: Colour = tint(rng, dark=False)
        self._date = rng.choice(region.dates)

    def paper(self, type_size: float = 10, face: str | None = None) -> Paper:
        """A sheet of the country's size."""
        return Paper(LETTER if self.region.code == "US" else A4, face or self.face, type_size)

    def words(self, topic: str) -> dict[str, Any]:
        """What documents of a topic say in this language: the topic's file in samples/words."""
        words: dict[str, Any] = vocabulary(topic)[self.language]
        return words

    def pick(self, choices: Sequence[Choice]) -> Choice:
        return self.rng.choice(choices)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def between(self, low: int, high: int) -> int:
        return self.rng.randint(low, high)

    def number(self, pattern: str) -> str:
        """`pattern` with each # a digit and each @ a capital letter; the first # is never 0."""
        first = pattern.find("#")
        draw = {
            "#": lambda place: str(self.rng.randint(int(place == first), 9)),
            "@": lambda place: self.rng.choice(string.ascii_uppercase),
        }
        return "".join(draw[sign](place) if sign in draw else sign for place, sign in enumerate(pattern))

    def price(self, low: int, high: int) -> int:
        """Cents between two bounds, cheap things being more frequent; mostly ends in 0, 5 or 9."""
        cents = round(low * (high / low) ** self.rng.random())
        return int(cents - cents % 10 + self.rng.choice((0, 0, 5, 9, 9, cents % 10)))

    def day(
        self, first: datetime.date = datetime.date(2018, 1, 2), last: datetime.date = datetime.date(2025, 6, 30)
    ) -> datetime.date:
        return first + timedelta(days=self.rng.randint(0, (last - first).days))

    def date(self, day: datetime.date) -> str:
        """The day in this document's way of writing dates."""
        return self.written(day, self._date)

    def written(self, day: datetime.date, pattern: str) -> str:
        """The day by a pattern of {d}, {m}, {y}, {yy}, {month} and {mon}."""
        month = self.region.months[day.month - 1]
        return pattern.format(d=day.day, m=day.month, y=day.year, yy=day.year % 100, month=month, mon=month[:3])

    def month(self, day: datetime.date) -> str:
        return f"{self.region.months[day.month - 1]} {day.year}"

    def money(self, cents: int) -> str:
        return self.region.money(cents)

    def amount(self, cents: int) -> str:
        return self.region.amount(cents)

    def address(self) -> tuple[str, str]:
        """Street and town, a line each."""
        region, number = self.region, self.between(1, 199)
        street, (town, pattern) = self.pick(region.streets), self.pick(region.towns)
        postcode = self.number(pattern)
        if region.code == "US":
            return f"{self.between(100, 9899)} {street}", f"{town} {postcode}"
        return (
            f"{number} {street}" if region.number_first else f"{street} {number}",
            f"{town} {postcode}" if region.town_first else f"{postcode} {town}",
        )

    def person(self) -> Person:
        sex = self.pick("FM")
        given = self.pick(self.region.given_female if sex == "F" else self.region.given_male)
        family = self.pick(self.region.family)
        mailbox = f"{given}.{family}".lower().translate(_PLAIN)
        return Person(
            given,
            family,
            sex,
            self.day(datetime.date(1950, 1, 1), datetime.date(2003, 12, 31)),
            self.address(),
            self.number(self.region.phone),
            f"{mailbox}@{self.pick(('example.com', 'example.org', 'mail.example', 'post.example'))}",
        )

    def company(self, trades: Sequence[str] = ()) -> Company:
        """A firm, of one of `trades` if given ("Bakery" → "Lindqvist Bakery")."""
        region = self.region
        trade = self.pick(trades or self.words("company")["trades"])
        family, form = self.pick(region.family), self.pick(region.company_form)
        owner = self.pick((family, self.pick(_FANCY)))
        name = f"{owner} {trade} {form}" if self.language == "en" else f"{trade} {owner} {form}"
        host = name.lower().translate(_PLAIN).split()
        domain = f"{host[0]}-{host[1]}.example".replace(",", "").replace("&", "and")
        tax = {
            "US": "##-#######",
            "GB": "GB ### #### ##",
            "DE": "DE#########",
            "FR": "FR## #########",
            "ES": "B########",
        }
        return Company(
            name,
            self.address(),
            self.number(region.phone),
            f"{self.pick(('info', 'office', 'accounts', 'contact'))}@{domain}",
            f"www.{domain}",
            self.number(tax[region.code]),
        )

    def iban(self) -> str:
        return {
            "DE": lambda: "DE" + self.number("## #### #### #### #### ##"),
            "FR": lambda: "FR" + self.number("## #### #### #### #### #### ###"),
            "ES": lambda: "ES" + self.number("## #### #### #### #### ####"),
            "GB": lambda: "GB" + self.number("## WBNK #### #### #### ##"),
            "US": lambda: self.number("##########"),
        }[self.region.code]()


_FANCY = ("Northstar", "Bluewater", "Meridian", "Alpha", "Corvus", "Solaris", "Vantage", "Helix", "Kestrel", "Aurora")
