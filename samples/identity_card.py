"""Identity cards of invented states: portrait on the left, names and dates beside it."""

from datetime import timedelta

from samples.guilloche import guilloche
from samples.origin import Origin
from samples.ornament import portrait, signature
from samples.paper import CARD, GREY, WHITE, Paper
from samples.passport import STATES

COUNTRIES = ("US", "GB", "DE", "FR", "ES")


def card_front(origin: Origin) -> Paper:
    """The front of an ID-1 card."""
    words, person = origin.words("card")["identity"], origin.person()
    paper = Paper(CARD, "helvetica", 7)
    state, code, _ = origin.pick(STATES)
    guilloche(paper, origin)
    banded = origin.chance(0.5)
    if banded:
        paper.rectangle(0, 0, paper.width, 24, fill=origin.colour)
    paper.text(10, 10, state, 6.5, "B", colour=WHITE if banded else origin.colour, fields={"issuing_state": state})
    paper.text(10, 19, words["title"], 7, "B", colour=WHITE if banded else origin.colour)
    paper.picture(portrait(origin.rng), 10, 32, 62, 80)
    number = origin.number(origin.pick(("@########", "@@#####@#", "#########")))
    issued = origin.day()
    expires = issued + timedelta(days=3652)
    born, begins, ends = (origin.date(day) for day in (person.born, issued, expires))
    town = origin.pick(origin.region.towns)[0].split(",")[0].upper()
    rows = (
        ((80, "surname", person.family.upper(), "surname"),),
        ((80, "given", person.given.upper(), "given_names"),),
        ((80, "sex", person.sex, "sex"), (150, "nationality", code, "nationality")),
        ((80, "born", born, "date_of_birth"), (160, "place", town, "place_of_birth")),
        ((80, "issued", begins, "date_of_issue"), (160, "expires", ends, "date_of_expiry")),
        ((80, "number", number, "document_number"),),
    )
    y = 36.0
    for row in rows:
        for x, label, text, field in row:
            paper.text(x, y, words[label], 3.9, colour=GREY)
            size = min(7.5, 7.5 * (paper.width - x - 8) / paper.measure(text, 7.5, "B"))
            paper.text(x, y + 8, text, size, "B", fields={field: text})
        y += 17.5
    paper.text(10, 119, words["signature"], 3.9, colour=GREY)
    signature(paper, origin.rng, 14, 138, 44)
    return paper


LAYOUTS = (card_front,)
