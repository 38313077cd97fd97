"""What stands on composed pages: names, places, dates, sums and numbers as they are written around the world."""

import datetime
import random
import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

from samples.words import vocabulary

Choice = TypeVar("Choice")

_DATES: Final = {
    "dmy": [
        "{d:02}/{m:02}/{y}",
        "{d}/{m}/{y}",
        "{d:02}/{m:02}/{yy:02}",
        "{d:02}-{m:02}-{y}",
        "{d:02}-{m:02}-{yy:02}",
    ],
    "mdy": ["{m:02}/{d:02}/{y}", "{m}/{d}/{y}", "{m:02}/{d:02}/{yy:02}", "{m}/{d}/{yy:02}", "{m:02}-{d:02}-{y}"],
    "ymd": ["{y}-{m:02}-{d:02}", "{y}/{m:02}/{d:02}", "{y}.{m:02}.{d:02}", "{y}年{m}月{d}日"],
    "d.m.y": ["{d:02}.{m:02}.{y}", "{d}.{m}.{y}", "{d:02}.{m:02}.{yy:02}"],
    "d-m-y": ["{d:02}-{m:02}-{y}", "{d}-{m}-{y}", "{d} {mon} {y}"],
    "words": [
        "{d} {month} {y}",
        "{month} {d}, {y}",
        "{mon} {d}, {y}",
        "{d} {mon} {y}",
        "{d:02}-{mon}-{y}",
        "{d:02}-{mon}-{yy:02}",
        "{d:02} {MON} {y}",
        "{d}. {month} {y}",
        "{d:02}{MON}{y}",
        "{MONTH} {d}, {y}",
        "{mon}. {d}, {y}",
        "{d}{th} {month} {y}",
        "{month} {d}{th}, {y}",
        "{mon} {d:02} {y}",
    ],
}
_TIMES: Final = ["{h:02}:{n:02}", "{h:02}:{n:02}:{s:02}", "{t}:{n:02} {half}", "{t:02}:{n:02}{half}", "{h:02}h{n:02}"]
_STREETS: Final = {True: ["{n} {street}", "{n}, {street}", "NO. {n}, {street}"], False: ["{street} {n}"]}
_SYLLABLES: Final = (
    *("ba", "ker", "ton", "vi", "lo", "mar", "ston", "gra", "nel", "dor", "wick", "ham"),
    *("ley", "sen", "tor", "ri", "va", "cal", "pen", "hol"),
)
_EPOCH: Final = datetime.date(1996, 1, 1)


class Hand:
    """One writer of one country. Everything comes from `rng`: the same seed, the same values."""

    def __init__(self, rng: random.Random) -> None:
        world = vocabulary("world")
        self.rng = rng
        self.world: dict[str, Any] = world
        self.country: dict[str, Any] = rng.choice(world["countries"])
        self.language: str = self.country["language"]
        self.shouts = rng.random() < 0.25
        self.today = _EPOCH + timedelta(days=rng.randrange(10_600))
        self.money_sign = rng.choice([*self.country["money"], "", ""])
        order = self.country["order"] if rng.random() < 0.75 else rng.choice(list(_DATES))
        self._date = rng.choice(_DATES["words" if rng.random() < 0.35 else order])
        self._time = rng.choice(_TIMES)
        self._sign_first = rng.random() < (0.85 if self.country.get("decimal") != "," else 0.3)
        self._sign_gap = " " * (rng.random() < 0.3 or not self._sign_first)

    def pick(self, choices: Sequence[Choice]) -> Choice:
        return self.rng.choice(choices)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def number(self, pattern: str) -> str:
        """`pattern` with each # a digit and each @ a capital letter."""
        rng = self.rng
        return "".join(
            str(rng.randrange(10)) if sign == "#" else rng.choice(string.ascii_uppercase) if sign == "@" else sign
            for sign in pattern
        )

    def identifier(self) -> str:
        """A number of any make, such as INV-20931 or 0049/23."""
        return self.number(self.pick(_IDENTIFIERS))

    def day(self, first: int = -30, last: int = 30) -> datetime.date:
        """A day between so many days before and after the document's own."""
        return self.today + timedelta(days=self.rng.randint(first, last))

    def date(self, day: datetime.date, pattern: str | None = None) -> str:
        """The day as this writer puts it."""
        month = vocabulary("world")["months"][self.language][day.month - 1]
        th = "th" if 10 < day.day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
        return (pattern or self._date).format(
            d=day.day,
            m=day.month,
            y=day.year,
            yy=day.year % 100,
            month=month,
            mon=month[:3],
            MON=month[:3].upper(),
            MONTH=month.upper(),
            th=th,
        )

    def long_date(self, day: datetime.date) -> str:
        """The day as in running text."""
        return self.date(day, self.pick(["{d} {month} {y}", "{month} {d}, {y}", "{month} {d}, {y}"]))

    def time(self) -> str:
        hour = self.rng.randint(6, 23)
        return self._time.format(
            h=hour,
            n=self.rng.randrange(60),
            s=self.rng.randrange(60),
            t=(hour - 1) % 12 + 1,
            half="PM" if hour >= 12 else "AM",
        )

    def cents(self, low: int = 100, high: int = 50_000) -> int:
        """A price in hundredths, cheap ones being more frequent."""
        value = int(low * (high / low) ** self.rng.random())
        return value if self.rng.random() < 0.5 else max(value // 10 * 10, 10)

    def amount(self, cents: int) -> str:
        """A sum without its currency."""
        point = self.country.get("decimal", ".")
        comma = self.country.get("thousands", "." if point == "," else ",")
        whole, rest = divmod(abs(cents), 100)
        if not point:
            whole, rest = whole * 1000 + rest * 10, 0
        grouped = f"{whole:,}".replace(",", comma)
        return f"{'-' if cents < 0 else ''}{grouped}" + (f"{point}{rest:02}" if point else "")

    def money(self, cents: int, signed: bool = True) -> str:
        """A sum as printed, with its currency where this writer gives one."""
        sign = self.money_sign if signed else ""
        if not sign:
            return self.amount(cents)
        parts = [sign, self.amount(cents)] if self._sign_first else [self.amount(cents), sign]
        return (self._sign_gap or " " * (sign.isalpha() and len(sign) == 3)).join(parts)

    def person_parts(self) -> tuple[str, str, bool]:
        """Given name, family name, and whether the family's comes first."""
        names = self.world["names"][
            self.pick(self.country["names"]) if self.chance(0.8) else self.pick(list(self.world["names"]))
        ]
        given = self.pick(names["given"])
        if self.chance(0.12):
            given = f"{given} {self.pick(string.ascii_uppercase)}."
        return given, self.pick(names["family"]), names.get("family_first", False)

    def person(self) -> str:
        given, family, family_first = self.person_parts()
        name = f"{family} {given}" if family_first else f"{given} {family}"
        return name.upper() if self.shouts else name

    def town(self) -> str:
        town: str = self.pick(self.country["towns"])
        return town if self.chance(0.6) else self.invented() + self.pick(["", " Park", " Bay", "ville", "stad"])

    def invented(self) -> str:
        """A word that no lexicon holds."""
        return "".join(self.pick(_SYLLABLES) for _ in range(self.rng.randint(2, 3))).capitalize()

    def company(self, trades: str = "trades") -> str:
        """A firm; `trades` may be "shops"."""
        country, pick = self.country, self.pick
        owner = pick(self.world["owners"]) if self.chance(0.5) else self.invented()
        if self.chance(0.25):
            owner = self.person_parts()[1]
        parts = [owner]
        if self.chance(0.2):
            parts.append(self.invented())
        if self.chance(0.85):
            parts.append(pick(self.world[trades]))
        if self.chance(0.5 if trades == "shops" else 0.85):
            parts.insert(0 if country.get("form_first") else len(parts), pick(country["forms"]))
        name = " ".join(parts)
        return name.upper() if self.shouts or (trades == "shops" and self.chance(0.4)) else name

    def organisation(self) -> str:
        if self.chance(0.65):
            return self.company()
        return str(self.pick(self.world["institutions"])).format(town=self.town())

    def address(self, most: int = 4) -> list[str]:
        """One to `most` lines."""
        country, pick = self.country, self.pick
        pattern = pick(_STREETS[bool(country.get("number_first"))])
        lines = [pattern.format(n=self.rng.randint(1, 980), street=pick(country["streets"]))]
        if self.chance(0.2):
            lines.insert(
                self.rng.randrange(2), pick(["Suite {}", "Unit {}", "Apt. {}", "Floor {}", "Lot {}", "Bldg {}"])
            )
            lines = [line.format(self.rng.randint(1, 900)) for line in lines]
        lines.append(self.number(pick(country["post"]).replace("{town}", self.town())))
        if self.chance(0.2):
            lines.append(country["country"])
        if self.shouts:
            lines = [line.upper() for line in lines]
        while len(lines) > most:
            lines[-2:] = [", ".join(lines[-2:])]
        if self.chance(0.25):
            lines[:-1] = [line + "," for line in lines[:-1]]
        return lines

    def phone(self) -> str:
        return self.number(self.pick(self.country["phones"]))

    def domain(self, name: str) -> str:
        words = [word for word in plain(name).lower().replace("&", "").split() if word.isalnum()]
        return self.pick(["", "-"]).join(words[:2] or ["office"]) + self.pick([".example", ".example.com", ".test"])

    def web(self, name: str) -> str:
        return self.pick(["www.", "www.", "https://www.", "http://", ""]) + self.domain(name)

    def email(self, name: str, domain: str) -> str:
        box = self.pick(
            ["info", "office", "contact", "billing", "hello", ".".join(re.findall("[a-z]+", plain(name).lower())[:2])]
        )
        return f"{box}@{domain}"

    def iban(self) -> str:
        return self.number(f"{self.country['code'][:2]}## #### #### #### #### ##")

    def of_kind(self, kind: str) -> str:
        """Any value of a kind."""
        if kind in _OF_KIND:
            return _OF_KIND[kind](self)
        return str(self.pick(self.world["choices"][kind]))


def plain(name: str) -> str:
    """The name in unaccented letters: Ayşe → Ayse."""
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()


_IDENTIFIERS: Final = [
    "#####",
    "######",
    "########",
    "##########",
    "@@-#####",
    "INV-####",
    "@########",
    "####-####",
    "##-######",
    "#/####",
    "20##-####",
    "@@@/##/###",
    "###-##-####",
    "@@####@",
    "#### #### ####",
    "@#-###-###",
    "CS0000####",
    "@@##########",
    "###",
    "####",
]
_OF_KIND: Final[dict[str, Callable[[Hand], str]]] = {
    "date": lambda hand: hand.long_date(hand.day(-900, 900)),
    "year": lambda hand: str(hand.day(-3000, 1500).year),
    "month": lambda hand: f"{hand.pick(hand.world['months'][hand.language])} {hand.day(-900, 900).year}",
    "time": lambda hand: hand.time(),
    "person": lambda hand: hand.person(),
    "organisation": lambda hand: hand.organisation(),
    "place": lambda hand: hand.town(),
    "address": lambda hand: ", ".join(hand.address()),
    "amount": lambda hand: hand.money(hand.cents(5_000, 90_000_000)),
    "price": lambda hand: hand.money(hand.cents()),
    "millions": lambda hand: (
        f"{hand.pick(['$', '€', '£', 'US$'])}{hand.rng.randint(1, 900)}.{hand.rng.randrange(10)} "
        f"{hand.pick(['million', 'billion'])}"
    ),
    "percent": lambda hand: (
        f"{hand.rng.randint(1, 99)}{hand.pick(['%', '%', '.5%', ' percent', ' per cent', '.25%'])}"
    ),
    "integer": lambda hand: f"{hand.cents(200, 900_000):,}",
    "count": lambda hand: hand.pick([str(hand.rng.randint(2, 400)), "three", "five", "seven", "twelve", "nine"]),
    "duration": lambda hand: (
        f"{hand.pick(['two', 'three', 'six', 'ten', '12', '14', '24', '30', '36', '90', 'eighteen'])} "
        f"{hand.pick(['days', 'weeks', 'months', 'years', 'business days', 'calendar months'])}"
    ),
    "hours": lambda hand: f"{hand.rng.randint(1, 60)} {hand.pick(['hours', 'minutes'])}",
    "measure": lambda hand: (
        f"{hand.rng.randint(2, 900)}{hand.pick([' kg', ' m', ' km', ' mm', ' mg', ' °C', ' feet', ' kWh'])}"
    ),
    "length": lambda hand: f"{hand.rng.randint(3, 900)}{hand.pick([' m', ' feet', ' metres', ' ft', ' yards'])}",
    "dose": lambda hand: f"{hand.rng.randint(1, 80) * 5} mg",
    "mass": lambda hand: f"{hand.rng.randint(2, 90) / 10}{hand.pick([' g', ' kg'])}",
    "temperature": lambda hand: f"{hand.rng.randint(-80, 30)} °C",
    "age": lambda hand: str(hand.rng.randint(12, 30)),
    "oldage": lambda hand: str(hand.rng.randint(31, 95)),
    "small": lambda hand: str(hand.rng.randint(1, 9)),
    "cash": lambda hand: f"${hand.rng.randint(1, 199) / 100:.2f}",
    "weight": lambda hand: f"{hand.rng.randint(45, 120)} kg",
    "pressure": lambda hand: f"{hand.rng.randint(105, 180)}/{hand.rng.randint(60, 104)}",
    "registration": lambda hand: hand.number(hand.pick(["N###@@", "G-@@@@", "D-E@@@", "VH-@@@", "N#####"])),
    "identifier": lambda hand: hand.identifier(),
    "role": lambda hand: hand.pick(hand.world["roles"]),
    "country": lambda hand: hand.pick(hand.world["countries"])["country"],
    "phone": lambda hand: hand.phone(),
    "email": lambda hand: hand.email(hand.person(), hand.domain(hand.company())),
    "word": lambda hand: hand.invented(),
    "yes_no": lambda hand: hand.pick(["Yes", "No", "yes", "N/A", "YES"]),
}
