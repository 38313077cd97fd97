"""What a candidate's text looks like by itself: a name, a company, an address, a sentence."""

import re
from typing import Final

_COMPANY: Final = re.compile(
    r"\b(?:inc|incorporated|ltd|limited|llc|llp|l\.l\.c|corp|corporation|co|company|plc|gmbh|ag|kg|ohg|ug|e\.k|s\.?a\.?s?|"
    r"s\.?a\.?r\.?l|s\.?r\.?l|s\.?p\.?a|s\.?l|b\.?v|n\.?v|a/s|oy|ab|pty|pte|sdn|bhd|enterprise|enterprises|group|holdings|"
    r"bank|university|college|school|institute|hospital|clinic|department|ministry|agency|association|foundation|store|"
    r"stores|mart|market|supermarket|restaurant|cafe|café|coffee|bakery|pharmacy|hotel|shop|trading|services|insurance|"
    r"partners|society|council|commission|office|center|centre|systems|solutions|industries|international)\b",
    re.IGNORECASE,
)
_STREET: Final = re.compile(
    r"\b(?:street|st|road|rd|avenue|ave|av|lane|ln|drive|dr|boulevard|blvd|court|ct|highway|hwy|way|square|place|plaza|"
    r"suite|ste|floor|fl|unit|p\.?o\.?\s?box|jalan|jln|lorong|taman|no|lot|blk|block|rue|avenue|chemin|allée|place|"
    r"\w*stra(?:ss|ß)e|\w*str|\w*weg|\w*platz|\w*gasse|calle|avenida|plaza|carrer|via|viale|piazza|rua|\w*straat|\w*laan|"
    r"\w*gade|\w*gatan|cedex)\b\.?",
    re.IGNORECASE,
)
_POSTCODE: Final = re.compile(r"\b\d{4,6}\b(?:-\d{4})?|\b[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}\b|\b\d{4}\s?[A-Z]{2}\b")
_HONORIFIC: Final = re.compile(r"\b(?:mr|mrs|ms|miss|dr|prof|sir|madam|herr|frau|m|mme|sr|sra|md|phd|esq)\b\.?", re.I)
_COUNTRY: Final = re.compile(
    r"""\b(?:united\ states(?:\ of\ america)?|usa|u\.s\.a?\.?|united\ kingdom|great\ britain|england|scotland|wales|
    ireland|germany|deutschland|france|spain|españa|italy|italia|portugal|netherlands|nederland|belgium|switzerland|
    austria|denmark|sweden|norway|finland|poland|czech(?:ia|\ republic)|greece|turkey|russia|ukraine|canada|mexico|
    brazil|brasil|argentina|chile|colombia|peru|australia|new\ zealand|japan|china|hong\ kong|taiwan|korea|india|
    pakistan|bangladesh|sri\ lanka|malaysia|singapore|indonesia|thailand|vietnam|philippines|egypt|nigeria|kenya|
    ghana|south\ africa|morocco|israel|saudi\ arabia|uae|qatar|utopia|republic\ of\ \w+|
    kingdom\ of\ \w+)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’.-][^\W\d_]+)*\.?")

SHAPE: Final = (
    "words",
    "characters",
    "digits",
    "capitals",
    "titled",
    "lower_start",
    "sentence",
    "person",
    "company",
    "address",
    "country",
    "identifier",
    "code",
    "lines",
)
"""Names of the numbers that `shape` gives."""


def shape(text: str) -> tuple[float, ...]:
    """One number, mostly in [0, 1], for each name in SHAPE."""
    words = text.split()
    plain = _WORD.findall(text)
    letters = sum(map(str.isalpha, text))
    digits = sum(map(str.isdigit, text))
    capitals = sum(map(str.isupper, text))
    count = max(len(text) - text.count(" "), 1)
    lines = text.count("\n") + 1
    titled = sum(word[0].isupper() for word in plain) / max(len(plain), 1)
    one_code = len(words) == 1 and digits > 0
    person = lines == 1 and 1 <= len(plain) <= 5 and digits == 0 and titled == 1 and _COMPANY.search(text) is None
    street, postcode = _STREET.search(text) is not None, _POSTCODE.search(text) is not None
    address = 0.4 * (street and digits > 0) + 0.4 * postcode + 0.2 * ("," in text or lines > 1)
    return (
        min(len(words), 20) / 20,
        min(len(text), 120) / 120,
        digits / count,
        capitals / max(letters, 1),
        titled,
        float(text[:1].islower()),
        float(len(words) > 8 and titled < 0.5),
        person * (1.0 if len(plain) > 1 or _HONORIFIC.match(text) else 0.5),
        float(_COMPANY.search(text) is not None),
        address if digits else 0.0,
        float(_COUNTRY.search(text) is not None),
        float(one_code and 3 <= len(text) <= 30),
        float(one_code and letters > 0),
        min(lines, 5) / 5,
    )
