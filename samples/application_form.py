"""Forms that a person fills in to apply for an account, a job, a membership or a benefit."""

from samples.origin import Origin, Person
from samples.ornament import logo, signature
from samples.paper import GREY, INK, WHITE, Colour, Paper

COUNTRIES = ("US", "GB")

_PEN: Colour = (25, 45, 130)


def filled_form(origin: Origin) -> Paper:
    """Boxes with small labels, filled in by hand or typewriter, boxes to tick, a signature."""
    words, person = origin.words("application_form"), origin.person()
    purpose, sections = origin.pick(words["purposes"]), iter(words["sections"])
    choices, questions = purpose["choices"], purpose["questions"]
    paper = origin.paper(10, "helvetica")
    left, edge = 46.0, paper.width - 46
    logo(paper, origin.rng, left, 34, 30, origin.colour)
    paper.text(left + 42, 52, purpose["title"], 18, "B", fields={"title": purpose["title"]})
    paper.text(left + 42, 66, purpose["issuer"], 9, colour=GREY)
    edition = f"{origin.between(1, 12):02}/{origin.between(2016, 2024)}"
    paper.text(edge, 46, f"Form {origin.number('@@-###')} (Rev. {edition})", 7, align="right")
    paper.text(
        left,
        92,
        words["request"],
        8.5,
    )
    y = _personal(paper, origin, person, left, edge, _section(paper, origin, left, edge, 106, next(sections)))
    y = _section(paper, origin, left, edge, y + 8, next(sections))
    chosen = origin.pick(choices)
    x = left + 4
    for choice in choices:
        paper.rectangle(x, y + 8, x + 10, y + 18, outline=INK)
        if choice == chosen:
            paper.stroke([(x + 1, y + 13), (x + 4, y + 18), (x + 12, y + 6)], 1.6, _PEN)
        x = paper.text(x + 15, y + 17, choice) + 36
    y = _section(paper, origin, left, edge, y + 32, next(sections))
    half = (edge - left) / 2
    for place, (question, answers) in enumerate(questions.items()):
        across, down = place % 2, place // 2
        _written(paper, left + across * half, y + down * 34, half, question, origin.pick(answers))
    y = _section(paper, origin, left, edge, y + 78, next(sections))
    y = paper.paragraph(
        left,
        y + 14,
        edge - left,
        words["declaration"],
        8.5,
    )
    signature(paper, origin.rng, left + 16, y + 40, 100)
    paper.line(left, y + 48, left + 260, y + 48)
    paper.text(left, y + 57, "Signature of applicant", 7, colour=GREY)
    date = origin.date(origin.day())
    paper.text(left + 300, y + 44, date, 12, "I", colour=_PEN, face="times", fields={"date": date})
    paper.line(left + 290, y + 48, edge, y + 48)
    paper.text(left + 290, y + 57, "Date", 7, colour=GREY)
    y = _section(paper, origin, left, edge, y + 78, next(sections))
    for place, label in enumerate(words["office"]):
        paper.cell(left + place * half / 2, y, half / 2, 30, label)
    return paper


LAYOUTS = (filled_form,)


def _personal(paper: Paper, origin: Origin, person: Person, left: float, edge: float, y: float) -> float:
    half, third = (edge - left) / 2, (edge - left) / 3
    status = origin.pick(("Single", "Married", "Divorced", "Widowed"))
    _written(paper, left, y, half, "Last name", person.family, "surname")
    _written(paper, left + half, y, half, "First name", person.given, "given_names")
    _written(paper, left, y + 34, third, "Date of birth", origin.date(person.born), "date_of_birth")
    _written(paper, left + third, y + 34, third, "Marital status", status)
    _written(paper, left + 2 * third, y + 34, third, "Nationality", origin.region.country)
    _written(paper, left, y + 68, half, "Street address", person.address[0], "street")
    _written(paper, left + half, y + 68, half, "City and postal code", person.address[1], "town")
    _written(paper, left, y + 102, half, "Telephone", person.phone, "phone")
    _written(paper, left + half, y + 102, half, "E-mail", person.email, "email")
    return y + 136


def _written(paper: Paper, x: float, y: float, width: float, label: str, text: str, field: str = "") -> None:
    paper.cell(x, y, width, 34, label)
    paper.text(x + 8, y + 25, text, 12, "I", colour=_PEN, face="times", fields={field: text} if field else None)


def _section(paper: Paper, origin: Origin, left: float, edge: float, y: float, title: str) -> float:
    paper.rectangle(left, y, edge, y + 16, fill=origin.colour)
    paper.text(left + 5, y + 11.5, title, 9.5, "B", colour=WHITE)
    return y + 16
