"""Data pages of passports, with the machine-readable zone of ICAO Doc 9303 part 4 (TD3). The states are invented."""

from datetime import timedelta

from samples.guilloche import guilloche
from samples.origin import Origin
from samples.ornament import portrait, signature
from samples.paper import GREY, Paper

COUNTRIES = ("US", "GB", "DE", "FR", "ES")

# Codes that ISO 3166 leaves to users, so that no real state is imitated.
STATES = (
    ("UNITED STATES OF NORVANIA", "QNV", "NORVANIAN"),
    ("REPUBLIC OF ARDELIA", "QAR", "ARDELIAN"),
    ("KINGDOM OF VESTMARK", "QVM", "VESTMARKER"),
    ("FEDERAL REPUBLIC OF TESSEN", "QTS", "TESSENER"),
)


def data_page(origin: Origin) -> Paper:
    """The page with the portrait: 125 x 88 mm."""
    words, person = origin.words("passport"), origin.person()
    paper = Paper((354.0, 250.0), "helvetica", 8.5)
    state, code, nationality = origin.pick(STATES)
    guilloche(paper, origin)
    paper.text(20, 22, state, 10, "B", colour=origin.colour, fields={"issuing_state": state})
    paper.text(paper.width - 20, 22, words["title"], 10, "B", "right", origin.colour)
    paper.picture(portrait(origin.rng), 20, 42, 84, 108)
    number = origin.number(origin.pick(("@########", "#########", "@@#######")))
    issued = origin.day()
    expires = issued + timedelta(days=3652)
    town = origin.pick(origin.region.towns)[0].split(",")[0].upper()
    pattern = origin.pick(("{d:02} {mon} {y}", "{d:02}.{m:02}.{y}", "{d:02} {m:02} {y}"))
    born, begins, ends = (origin.written(day, pattern).upper() for day in (person.born, issued, expires))
    rows: tuple[tuple[tuple[float, str, str, str], ...], ...] = (
        (
            (114, words["type"], "P", ""),
            (160, words["code"], code, ""),
            (256, words["number"], number, "document_number"),
        ),
        ((114, words["surname"], person.family.upper(), "surname"),),
        ((114, words["given_names"], person.given.upper(), "given_names"),),
        ((114, words["nationality"], nationality, "nationality"), (256, words["sex"], person.sex, "sex")),
        ((114, words["born"], born, "date_of_birth"), (256, words["birthplace"], town, "place_of_birth")),
        (
            (114, words["issued"], begins, "date_of_issue"),
            (256, words["authority"], f"{origin.pick(('MINISTRY', 'OFFICE'))} {origin.number('###')}", ""),
        ),
        ((114, words["expires"], ends, "date_of_expiry"),),
    )
    y = 44.0
    for row in rows:
        for x, label, text, field in row:
            paper.text(x, y, label, 4.6, colour=GREY)
            size = min(9, 9 * (paper.width - x - 14) / paper.measure(text, 9, "B"))
            paper.text(x, y + 10, text, size, "B", fields={field: text} if field else None)
        y += 22
    paper.text(20, 160, words["signature"], 4.6, colour=GREY)
    signature(paper, origin.rng, 28, 182, 60)
    first = f"P<{code}{_zone(person.family)}<<{_zone(person.given)}"
    checked = number.ljust(9, "<")
    birth, expiry = person.born.strftime("%y%m%d"), expires.strftime("%y%m%d")
    optional = "<" * 14
    parts = (
        checked,
        check_digit(checked),
        code,
        birth,
        check_digit(birth),
        person.sex,
        expiry,
        check_digit(expiry),
        optional,
        check_digit(optional),
    )
    second = "".join(parts)
    second += check_digit(second[0:10] + second[13:20] + second[21:43])
    size = 11.8
    paper.text(20, 222, first.ljust(44, "<")[:44], size, face="courier")
    paper.text(20, 238, second, size, face="courier", fields={"machine_readable_zone": second})
    return paper


LAYOUTS = (data_page,)


def check_digit(text: str) -> str:
    """The digit over `text` by weights 7, 3, 1, modulo 10 (ICAO Doc 9303 part 3, 4.9)."""
    values = (0 if sign == "<" else int(sign) if sign.isdigit() else ord(sign) - 55 for sign in text)
    return str(sum(value * (7, 3, 1)[place % 3] for place, value in enumerate(values)) % 10)


def _zone(name: str) -> str:
    """A name in the machine-readable zone's letters (ICAO Doc 9303 part 3, 6.A)."""
    spelled = name.upper()
    for letter, plain in (("Ä", "AE"), ("Ö", "OE"), ("Ü", "UE"), ("SS", "SS"), ("ß", "SS")):
        spelled = spelled.replace(letter, plain)
    accents = str.maketrans("ÉÈÊËÇÀÂÁÎÏÍÔÓÛÚÑ", "EEEECAAAIIIOOUUN")
    return "".join(sign if sign.isalpha() else "<" for sign in spelled.translate(accents))
