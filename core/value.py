"""Values as printed and as calculated with: finding dates, amounts and the like in a line, and reading them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal

from core.contract.answer import AmountValue, DateValue, IntegerValue, Value, YesNoValue
from core.question import Expected

MentionKind = Literal["date", "time", "amount", "number", "percent", "phone", "email", "url", "identifier"]


@dataclass(frozen=True, slots=True)
class Mention:
    """Something typed that a line prints: `text` is the line's characters from `start` to `end`."""

    kind: MentionKind
    start: int
    end: int
    text: str


_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar jänner janvier janv enero ene gennaio gen janeiro januari",
            "february feb februar février fevrier févr fevr fév fev febrero febbraio fevereiro februari",
            "march mar märz maerz mär mrz mars marzo março marco maart mrt",
            "april apr avril avr abril abr aprile",
            "may mai mayo maggio mag maio mei",
            "june jun juni juin junio giugno giu junho",
            "july jul juli juillet juil julio luglio lug julho",
            "august aug août aout aoû agosto ago augustus",
            "september sept sep septembre septiembre settembre set setembro",
            "october oct oktober okt octobre octubre ottobre ott outubro out",
            "november nov novembre noviembre novembro",
            "december dec dezember dez décembre decembre déc diciembre dic dicembre dezembro",
        ),
        start=1,
    )
    for name in names.split()
}
_OTHER_WORDS: Final = "mar may mars mai mag gen set out ago march ene"


def _any_of(words: Iterable[str]) -> str:
    """Each in lower case, in capitals and as a title: much faster than a pattern that ignores case."""
    cased = {form for word in words for form in (word.lower(), word.upper(), word.capitalize())}
    return f"(?:{'|'.join(sorted(cased, key=lambda word: (-len(word), word)))})"


_MONTH: Final = _any_of(_MONTHS)
_CLEAR_MONTH: Final = _any_of(_MONTHS.keys() - set(_OTHER_WORDS.split()))
_DAY: Final = r"(?:(?<!\d)\d{1,2}|(?<![^\W_])(?=[OolI|]?\d|[lI|][Oo])[\dOolI|]{1,2})"
_YEAR: Final = r"(?:[12][\dOolI]{3}(?!\d)|['\u2019]?\d{2}(?!\d))"
_GAP: Final = r"[\s.,/'\u2019-]{0,3}"
_ORDINAL: Final = r"(?i:st|nd|rd|th|er|[ºª°])?"
_OF: Final = r"(?i:(?:day\s)?of\s+(?:the\s+)?|del?\s+|di\s+)?"
_DATE: Final = re.compile(
    rf"""
      (?P<y1>(?<!\d)(?<!\d[.,/-])[12]\d{{3}})\s?(?P<s1>[-/.])\s?(?P<m1>\d{{1,2}})\s?(?P=s1)\s?(?P<d1>\d{{1,2}})(?!\d)
    | (?P<y2>[12]\d{{3}})\s?[年년]\s?(?P<m2>\d{{1,2}})\s?[月월]\s?(?P<d2>\d{{1,2}})\s?[日일]
    | (?<!\d[.,/-])(?P<a3>{_DAY})\s?(?P<s3>[-/.])\s?(?P<b3>[\dOolI]{{1,2}})\s?(?P=s3)\s?(?P<y3>{_YEAR})(?![.,/-]\d)
    | (?<!\d)(?<!\d[\s.,/-])(?P<a4>\d\d)\s(?P<b4>[01]\d)\s(?P<y4>(?:19|20)\d\d)(?!\s?\d)
    | (?P<d5>{_DAY}){_ORDINAL}{_GAP}{_OF}(?P<m5>{_MONTH})(?:[./\s-]{{1,3}}{_MONTH}\b)?{_GAP}{_OF}(?P<y5>{_YEAR})
    | (?<![^\W\d_])(?P<m6>{_MONTH}){_GAP}(?P<d6>[\dOolI]{{1,2}}){_ORDINAL}[.,\s'\u2019-]{{1,3}}(?P<y6>{_YEAR})(?!:)
    | (?<!\d)(?P<y7>[12]\d{{3}}){_GAP}(?P<m7>{_MONTH}){_GAP}(?P<d7>\d{{1,2}})(?!\d)
    """,
    re.VERBOSE,
)
_MONTH_OF_YEAR: Final = re.compile(
    rf"""(?<![^\W\d_])(?P<m1>{_MONTH}){_GAP}{_OF}(?P<y1>(?:19|20)\d\d)(?!\d)
       | (?<!\d)(?<!\d[.,/-])(?P<m2>0?[1-9]|1[0-2])\s?[/.-]\s?(?P<y2>(?:19|20)\d\d)(?![./-]?\d)
       | (?P<y3>(?:19|20)\d\d)\s?[年년]\s?(?P<m3>\d{{1,2}})\s?[月월]
       | (?<!\d)(?<!\d[.,/-])(?P<y4>(?:19|20)\d\d)-(?P<m4>0[1-9]|1[0-2])(?![./-]?\d)""",
    re.VERBOSE,
)
_DAY_OF_MONTH: Final = re.compile(
    rf"(?<![^\W_]){_CLEAR_MONTH}\.?\s?[0-3]?\d(?!\d|[:,.]\s?\d)|(?<!\d)[0-3]?\d\s?{_CLEAR_MONTH}\b"
)
_YEARS: Final = re.compile(r"(?:19|20)\d\d")
_QUARTER: Final = re.compile(
    r"\bq([1-4])[\s/-]{0,2}((?:19|20)\d\d)|((?:19|20)\d\d)[\s/-]{0,2}q([1-4])\b", re.IGNORECASE
)
_LONE_YEAR: Final = re.compile(r"(?<![\d.,/-])(?:19|20)\d\d(?![\d.,/-]\d|\d)")
_COMPACT: Final = re.compile(r"\s*((?:19|20)\d\d)([01]\d)([0-3]\d)\s*")
_DIGITS: Final = str.maketrans("OolI|", "00111")
# A zero among letters is an O: 14 0CT 2030.
_LETTERED_ZERO: Final = re.compile(r"0(?=[A-Za-z]{2})|(?<=[A-Za-z])0(?=[A-Za-z])")
_PIVOT: Final = 50
"""Two-digit years from here on belong to the last century."""

_CODES: Final = (
    "USD EUR GBP CHF JPY CNY INR MYR SGD HKD AUD CAD NZD BRL MXN ZAR SEK NOK DKK PLN CZK HUF RON BGN TRY RUB UAH ILS"
    " AED SAR THB IDR PHP VND KRW TWD NGN KES EGP ARS CLP COP"
)
_CURRENCIES: Final = {
    **{code: code for code in _CODES.split()},
    **{"US$": "USD", "$": "USD", "C$": "CAD", "CA$": "CAD", "A$": "AUD", "AU$": "AUD", "NZ$": "NZD", "HK$": "HKD"},
    **{"S$": "SGD", "R$": "BRL", "MX$": "MXN", "NT$": "TWD", "€": "EUR", "£": "GBP", "¥": "JPY", "\uffe5": "JPY"},
    **{"RMB": "CNY", "元": "CNY", "円": "JPY", "₹": "INR", "RS": "INR", "RM": "MYR", "₽": "RUB", "₩": "KRW"},
    **{"ZŁ": "PLN", "ZL": "PLN", "RP": "IDR", "FR": "CHF", "SFR": "CHF", "₫": "VND", "฿": "THB", "₺": "TRY"},
    **{"₦": "NGN", "₱": "PHP", "₪": "ILS", "KČ": "CZK", "DOLLAR": "USD", "EURO": "EUR", "POUND": "GBP"},
    **{"RUPEE": "INR", "YEN": "JPY", "RINGGIT": "MYR", "KR": None},
}
_CURRENCY: Final = (
    r"(?:(?:US|CA|AU|NZ|HK|MX|NT|[CARS])?\s?\$|[€£¥\uffe5₹₽₩₫฿₺₦₱₪元円]|(?<![^\W\d_])"
    + _any_of(name + plural for name in _CURRENCIES if name.isalpha() and len(name) > 1 for plural in ("", "s"))
    + r"(?![^\W\d_])\.?)"
)
_GROUPED: Final = (
    r"\d{1,3}(?:,\d{2})*(?:,\d{3})+(?:\s?\.\s?\d{1,2}(?!\d))?"
    r"|\d{1,3}(?:\.\d{3})+(?:\s?,\s?\d{1,2}(?!\d))?"
    r"|\d{1,3}(?:['\u2019]\d{3})+(?:[.,]\d{1,2}(?!\d))?"
    r"|\d{1,3}(?:[ \u00a0\u202f]\d{3})+[.,]\d{2}(?!\d)"
)
_NUMBER: Final = rf"(?:{_GROUPED}|\d+[.,][ ]\d\d(?!\d)|\d+[ ][.,]\d\d(?!\d)|\d+(?:[.,]\d+)?|(?<!\d)\.\d+)"
_SIZE: Final = {
    "thousand": 1_000,
    "million": 1_000_000,
    "billion": 1_000_000_000,
    "mn": 1_000_000,
    "bn": 1_000_000_000,
}
_AMOUNT: Final = re.compile(
    rf"""(?<![\d][.,'])(?<!\d)
    (?P<open>\()?\s?(?P<sign>[-\u2212\u2013])?\s?(?P<before>{_CURRENCY})?\s?(?P<inner>[-\u2212\u2013(])?\s?
    (?P<number>{_NUMBER})(?![\d]|[.,]\d)
    (?:\s?(?P<size>{_any_of(_SIZE)})\b)?
    (?P<trailing>\s?-(?![\w-]))?(?:\s?(?P<after>{_CURRENCY})(?!\s?\d))?(?P<close>\s?\))?""",
    re.VERBOSE,
)
_SPACED_NUMBER: Final = re.compile(r"(?<=\d)[ \u00a0\u202f](?=\d{3}(?!\d))")
_CENTS: Final = re.compile(r"[.,]\s?\d\d$")
_THOUSANDS: Final = re.compile(r"\d[,.'\u2019]\d{3}(?!\d)")

_TIME: Final = re.compile(
    r"""(?<![\d:.,/-])(?:[01]?\d|2[0-4])(?::[0-5]\d(?::[0-5]\d)?(?:\s?[ap]\.?\s?m\b\.?)?(?![\d:])
      | \s?h\s?[0-5]\d\b | [.:][0-5]\d\s?(?:[ap]\.?m\b\.?|uhr\b) | \s?(?:[ap]\.?m\b\.?|uhr\b|o.clock\b))""",
    re.VERBOSE | re.IGNORECASE,
)
_PERCENT: Final = re.compile(r"[-\u2212]?\d+(?:[.,]\s?\d+)?\s?(?:%|per\s?cent\b|pct\b|prozent\b)", re.IGNORECASE)
_PHONE: Final = re.compile(
    r"""(?<![\w.,/#-])(?:
        \+\s?\(?\d{1,3}\)?(?:[\s./-]{0,2}\(?\d{1,5}\)?){2,6}
      | \(\d{2,5}\)[\s./-]{0,2}\d{2,4}(?:[\s.-]?\d{2,5}){0,3}
      | 1?[-.\s]?\d{3}[-.\s]\d{3}[-.\s]\d{4}
      | 0\d{1,4}(?:[\s./-]{1,3}\d{2,8}){1,5}
    )(?![\w/]|[.,-]\d)""",
    re.VERBOSE,
)
_EMAIL: Final = re.compile(r"[\w.+-]+\s?@\s?[\w-]+(?:\.[\w-]+)+")
_URL: Final = re.compile(
    r"(?:https?:/?/?|\bwww\s?\.)\s?\S+[\w/]|(?<![@\w.])[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|gov|edu|io|co\.uk|eu|de|fr|nl|it|es|ch|in)"
    r"\b(?:/\S*)?(?!@)",
    re.IGNORECASE,
)
# IBANs, then card and account numbers.
_GROUPS: Final = re.compile(
    r"(?<!\w)(?:[A-Z]{2}\d\d(?:\s?[A-Z0-9]{4}){3,7}(?:\s?[A-Z0-9]{1,3})?|[\dX*]{4}(?:[\s-][\dX*]{4}){2,4})(?![\w,.])"
)
_TOKEN: Final = re.compile(r"(?<![\w@.,])(?=\S*\d)[A-Za-z0-9]+(?:[-/.\\_:#][A-Za-z0-9]+)*(?![\w@])")
_LETTERED: Final = re.compile(r"[a-z].*[-/_]|[-/_].*[a-z]")
_DECIMAL: Final = re.compile(r"\d+[.,]\d+")
_DIGIT: Final = re.compile(r"\d")


def find_values(text: str) -> list[Mention]:
    """Everything typed in a line, by where it starts.

    Two mentions overlap only where print alone does not tell: `1,939` is a number or an amount, `123454321` a number
    or an identifier, `02/2026` a month or an identifier.
    """
    found: list[Mention] = []
    if "@" in text:
        found += (Mention("email", *match.span(), match.group()) for match in _EMAIL.finditer(text))
    if "." in text or "http" in text:
        _add(found, "url", _URL.finditer(text))
    if not _DIGIT.search(text):
        return found
    _add(found, "date", (match for match in _DATE.finditer(text) if _dates_of(match, None)))
    _add(found, "identifier", _GROUPS.finditer(text))
    _add(
        found, "phone", (match for match in _PHONE.finditer(text) if 7 <= sum(map(str.isdigit, match.group())) <= 15)
    )
    _add(found, "time", _TIME.finditer(text))
    if "%" in text or "c" in text or "C" in text or "z" in text:
        _add(found, "percent", _PERCENT.finditer(text))
    months = [*_DAY_OF_MONTH.finditer(text)]
    if _YEARS.search(text):
        months = [*_MONTH_OF_YEAR.finditer(text), *months]
    _add(found, "date", months)
    unclear = [Mention("identifier", *match.span(), match.group()) for match in months if _is_numeric(match.group())]
    taken = list(found)
    for match in _TOKEN.finditer(text):
        if _identifies(match.group()) and not _overlaps(taken, *match.span()):
            found.append(Mention("identifier", *match.span(), match.group()))
    named = found[len(taken) :]
    for match in _AMOUNT.finditer(text):
        start, end = match.span("number")
        if _overlaps(taken, start, end) or any(
            mention.start <= start and end <= mention.end and len(mention.text) > end - start for mention in named
        ):
            continue
        found += _numbers(match)
    found += unclear
    return sorted(found, key=lambda mention: (mention.start, -mention.end))


def _add(found: list[Mention], kind: MentionKind, matches: Iterable[re.Match[str]]) -> None:
    for match in matches:
        if not _overlaps(found, *match.span()):
            found.append(Mention(kind, *match.span(), match.group()))


def _overlaps(found: list[Mention], start: int, end: int) -> bool:
    return any(mention.start < end and start < mention.end for mention in found)


def _is_numeric(text: str) -> bool:
    return not any(map(str.isalpha, text))


def _identifies(text: str) -> bool:
    """Whether a token is rather a name of something than a quantity."""
    digits = sum(map(str.isdigit, text))
    if any("A" <= char <= "Z" for char in text):
        return digits > 0 and len(text) >= 3
    if _LETTERED.search(text):
        return digits >= 3
    return (
        digits >= 5
        and not _DECIMAL.fullmatch(text)
        and not _THOUSANDS.search(text)
        and not _CENTS.search(text)
        and not re.search("[a-z]{4}", text)
    )


def _numbers(match: re.Match[str]) -> Iterator[Mention]:
    """The amount or number that is printed, or both."""
    number = match["number"]
    marked = bool(match["before"] or match["after"])
    if marked or _CENTS.search(number) or _THOUSANDS.search(number) or (match["open"] and match["close"]):
        printed = match.group()
        if not (match["open"] and match["close"]):
            printed = printed.strip("() ")
        printed = printed.strip()
        start = match.start() + match.group().index(printed)
        if marked or not (match["open"] and match["close"] and number.isdigit()):
            yield Mention("amount", start, start + len(printed), printed)
    if not marked:
        start, end = match.span("number")
        if match["size"]:
            end = match.end("size")
        yield Mention("number", start, end, match.string[start:end])


def read_date(text: str, day_first: bool | None = None) -> list[date]:
    """All readings of the first date in a text, the likeliest first; none where it holds no date that can be.

    `day_first` tells how `03/08/2014` is meant, where known; see `is_day_first`. Without it, dots and hyphens stand
    for day first and slashes for month first. Two-digit years lie in 1950 to 2049.
    """
    if compact := _COMPACT.fullmatch(text):
        return _possible([(int(compact[1]), int(compact[2]), int(compact[3]))])
    for variant in (text, _LETTERED_ZERO.sub("O", text)):
        for match in _DATE.finditer(variant):
            if dates := _dates_of(match, day_first):
                return dates
    return []


def is_day_first(text: str) -> bool | None:
    """Whether a document writes 3 August as `03/08`, by its other dates, else its money; None if neither tells."""
    firsts, seconds = 0, 0
    for match in _DATE.finditer(text):
        if parts := _numeric_parts(match):
            firsts += parts[0] > 12 >= parts[1]
            seconds += parts[1] > 12 >= parts[0]
    if firsts != seconds:
        return firsts > seconds
    if re.search(r"[€£₹]|\b(?:EUR|GBP|INR|RM|MYR|CHF|BRL)\b", text):
        return True
    return False if "$" in text else None


def read_period(text: str, day_first: bool | None = None) -> tuple[date, date] | None:
    """The first and the last day of the date, month, quarter or year that a text names."""
    if dates := read_date(text, day_first):
        return dates[0], dates[0]
    if match := _MONTH_OF_YEAR.search(text):
        year, month = _group(match, "y"), _group(match, "m")
        return _months(int(year), _MONTHS.get(month.lower()) or int(month), 1)
    if match := _QUARTER.search(text):
        return _months(int(match[2] or match[3]), int(match[1] or match[4]) * 3 - 2, 3)
    if match := _LONE_YEAR.search(text):
        return _months(int(match.group()), 1, 12)
    return None


def _months(year: int, month: int, count: int) -> tuple[date, date]:
    after = month - 1 + count
    return date(year, month, 1), date(year + after // 12, after % 12 + 1, 1) - timedelta(days=1)


def _group(match: re.Match[str], letter: str) -> str:
    """The group of whichever alternative matched: they are numbered y1, y2, …"""
    return next((text for name, text in match.groupdict().items() if name[0] == letter and text is not None), "")


def _numeric_parts(match: re.Match[str]) -> tuple[int, int] | None:
    """Day and month, whichever comes first, where both are digits."""
    if not (first := _group(match, "a")):
        return None
    return _digits(first), _digits(_group(match, "b"))


def _digits(text: str) -> int:
    return int(text.translate(_DIGITS))


def _dates_of(match: re.Match[str], day_first: bool | None) -> list[date]:
    printed = _group(match, "y").lstrip("'\u2019").translate(_DIGITS)
    year = int(printed)
    if len(printed) == 2:
        year += 1900 if year >= _PIVOT else 2000
    if parts := _numeric_parts(match):
        if day_first is None:
            day_first = match["s3"] != "/"
        first, second = parts
        readings = [(year, second, first), (year, first, second)]
        return _possible(readings if day_first or match["s3"] == "." else readings[::-1])
    month, day = _group(match, "m"), _group(match, "d")
    return _possible([(year, _MONTHS.get(month.lower()) or _digits(month), _digits(day))])


def _possible(readings: Iterable[tuple[int, int, int]]) -> list[date]:
    dates: list[date] = []
    for year, month, day in readings:
        try:
            reading = date(year, month, day)
        except ValueError:
            continue
        if reading not in dates:
            dates.append(reading)
    return dates


def read_amount(text: str) -> AmountValue | None:
    """The amount that a text states: the first with a currency, else with cents, else any number.

    `$` alone is read as USD and `¥` as JPY; the currency is None where no mark tells it, as with `kr`.
    """
    matches = list(_AMOUNT.finditer(_SPACED_NUMBER.sub("", text)))
    if not matches:
        return None
    match = max(
        matches,
        key=lambda one: (bool(one["before"] or one["after"]), bool(_CENTS.search(one["number"])), -one.start()),
    )
    enclosed = (match["open"] or match["inner"] == "(") and match["close"]
    negative = match["sign"] or match["inner"] not in (None, "(") or match["trailing"] or enclosed
    amount = _decimal(match["number"], is_scaled=bool(match["size"])) * _SIZE.get((match["size"] or "").lower(), 1)
    return AmountValue(amount=-amount if negative else amount, currency=_currency(match["before"], match["after"]))


def _decimal(number: str, is_scaled: bool = False) -> Decimal:
    """`1.234` and `1,234` are thousands, unless a word such as `million` scales them; the last of two marks is the
    decimal one."""
    number = re.sub(r"[\s'\u2019]", "", number)
    marks = re.findall(r"[.,]", number)
    if not marks:
        return Decimal(number)
    whole, fraction = re.split(rf"[{marks[-1]}](?=\d*$)", number, maxsplit=1)
    is_grouping = len(set(marks)) == 1 and (
        len(marks) > 1 or (len(fraction) == 3 and whole not in ("", "0") and len(whole) <= 3 and not is_scaled)
    )
    whole = re.sub(r"[.,]", "", whole) or "0"
    return Decimal(whole + fraction if is_grouping else f"{whole}.{fraction}")


def _currency(*marks: str | None) -> str | None:
    """A code tells more than a symbol: `$4.11 CAD`."""
    names = [re.sub(r"[\s.]", "", mark).upper() for mark in marks if mark]
    names = [name if name in _CURRENCIES else name.removesuffix("S") for name in names]
    names.sort(key=lambda name: name != _CURRENCIES.get(name))
    return next((_CURRENCIES.get(name) for name in names), None)


_TO_TWENTY: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty"
)
_COUNT_WORDS: Final = _TO_TWENTY.split()
_COUNT_WORD: Final = re.compile(rf"\b{_any_of(_COUNT_WORDS)}\b", re.IGNORECASE)
_PLAIN_NUMBER: Final = re.compile(rf"(?<![\d.,])(?P<sign>[-\u2212])?(?P<number>{_NUMBER})(?![\d])")


def read_integer(text: str) -> int | None:
    """The whole number that a text states first, in digits or, up to twenty, as an English word."""
    if match := _PLAIN_NUMBER.search(_SPACED_NUMBER.sub("", text)):
        number = _decimal(match["number"])
        if number != number.to_integral_value():
            return None
        return -int(number) if match["sign"] and not text[: match.start()].rstrip() else int(number)
    if match := _COUNT_WORD.search(text):
        return _COUNT_WORDS.index(match.group().lower())
    return None


_YES: Final = re.compile(r"\W*(?:yes|y|true|ja|oui|s[ií]|sim)\b", re.IGNORECASE)
_NO: Final = re.compile(r"\W*(?:no|n|false|nein|non|nee|não)\b(?!\.?\s*\d)", re.IGNORECASE)


def read_yes_no(text: str) -> bool | None:
    """What a text that begins with yes or no says."""
    if _YES.match(text):
        return True
    return False if _NO.match(text) else None


def normalise(expects: Expected, text: str, day_first: bool | None = None) -> Value | None:
    """The value of an answer of the expected kind, as printed; None where it has none to calculate with."""
    if expects == "date":
        dates = read_date(text, day_first)
        return DateValue(date=dates[0]) if dates else None
    if expects == "amount":
        return read_amount(text)
    if expects == "number":
        integer = read_integer(text)
        return None if integer is None else IntegerValue(integer=integer)
    if expects == "text" and len(text.split()) == 1:
        yes = read_yes_no(text)
        return None if yes is None else YesNoValue(yes=yes)
    return None
