"""Driving licences: fields numbered as in Europe (directive 2006/126/EC, annex I) or as in the US (AAMVA)."""

from datetime import timedelta

from samples.guilloche import guilloche
from samples.origin import Origin
from samples.ornament import portrait, signature
from samples.paper import CARD, GREY, WHITE, Paper

COUNTRIES = ("US", "GB", "DE", "FR", "ES")


def licence(origin: Origin) -> Paper:
    """The front of the card, by the country's way."""
    paper = Paper(CARD, "helvetica", 7)
    guilloche(paper, origin)
    return _american(paper, origin) if origin.region.code == "US" else _european(paper, origin)


LAYOUTS = (licence,)


def _american(paper: Paper, origin: Origin) -> Paper:
    person, issued = origin.person(), origin.day()
    state = origin.pick(("NEW CAROLINE", "SOUTH ARDEN", "WEST MADERA", "LAKOTA RIDGE"))
    number = origin.number(origin.pick(("@#######", "#########", "@###-####-####")))
    paper.rectangle(0, 0, paper.width, 22, fill=origin.colour)
    paper.text(10, 15, state, 11, "B", colour=WHITE, fields={"issuing_state": state})
    paper.text(paper.width - 10, 15, "DRIVER LICENSE", 9, "B", "right", WHITE)
    paper.picture(portrait(origin.rng), 10, 30, 66, 85)
    born, begins, ends = (
        origin.written(day, "{m:02}/{d:02}/{y}") for day in (person.born, issued, issued + timedelta(days=1826))
    )
    rows = (
        (84, 36, "4d DL", number, "document_number"),
        (160, 36, "4b EXP", ends, "date_of_expiry"),
        (84, 50, "1 LN", person.family.upper(), "surname"),
        (84, 62, "2 FN", person.given.upper(), "given_names"),
        (84, 90, "3 DOB", born, "date_of_birth"),
        (160, 90, "15 SEX", person.sex, "sex"),
        (84, 102, "9 CLASS", origin.pick(("C", "D", "M")), ""),
        (160, 102, "4a ISS", begins, "date_of_issue"),
        (84, 114, "16 HGT", f"{origin.between(5, 6)}'-{origin.between(0, 11):02}\"", ""),
        (160, 114, "18 EYES", origin.pick(("BRO", "BLU", "GRN", "HAZ")), ""),
        (84, 126, "12 REST", "NONE", ""),
        (160, 126, "17 WGT", f"{origin.between(110, 240)} lb", ""),
    )
    for x, y, label, text, field in rows:
        end = paper.text(x, y, label, 4.6, colour=GREY)
        paper.text(end + 3, y, text, 7.2, "B", fields={field: text} if field else None)
    paper.text(84, 70, "8", 4.6, colour=GREY)
    paper.block(90, 71, [line.upper() for line in person.address], 6, 1.25, "address")
    signature(paper, origin.rng, 14, 138, 52)
    return paper


def _european(paper: Paper, origin: Origin) -> Paper:
    person, issued = origin.person(), origin.day()
    title = origin.words("card")["licence"]["title"]
    number = origin.number(origin.pick(("@##########", "@@###@######", "########")))
    paper.rectangle(8, 8, 36, 28, fill=(20, 60, 150))
    paper.text(22, 22, origin.region.code, 10, "B", "centre", WHITE)
    paper.text(44, 17, title, 10, "B", colour=origin.colour)
    paper.text(44, 26, origin.region.country.upper(), 6, colour=origin.colour)
    paper.picture(portrait(origin.rng), 10, 40, 62, 80)
    born, begins, ends = (
        origin.written(day, "{d:02}.{m:02}.{y}") for day in (person.born, issued, issued + timedelta(days=5478))
    )
    town = origin.pick(origin.region.towns)[0]
    rows = (
        ("1.", person.family.upper(), "surname"),
        ("2.", person.given.upper(), "given_names"),
        ("3.", f"{born} {town}", "date_of_birth"),
        ("4a.", begins, "date_of_issue"),
        ("4b.", ends, "date_of_expiry"),
        ("5.", number, "document_number"),
        ("8.", ", ".join(person.address), "address"),
        ("9.", origin.pick(("AM/B/L", "B/BE/AM/L", "A/B/AM", "AM/B1/B")), ""),
    )
    y = 46.0
    for label, text, field in rows:
        paper.text(80, y, label, 6, colour=GREY)
        size = min(7.5, 7.5 * (paper.width - 102) / paper.measure(text, 7.5))
        answer = born if field == "date_of_birth" else text
        paper.text(96, y, text, size, fields={field: answer} if field else None)
        y += 11.5
    paper.text(80, y + 3, "7.", 6, colour=GREY)
    signature(paper, origin.rng, 98, y + 8, 50)
    return paper
