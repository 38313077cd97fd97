"""Business cards: a name, a role, a firm, and how to reach them."""

from samples.origin import Company, Origin, Person
from samples.ornament import logo
from samples.paper import CARD, GREY, WHITE, Paper

COUNTRIES = ("US", "GB", "DE", "FR", "ES")


def logo_left(origin: Origin) -> Paper:
    """Logo and firm above, the person below."""
    paper, firm, person, role = _card(origin)
    logo(paper, origin.rng, 16, 18, 26, origin.colour)
    size = min(12, 12 * (paper.width - 66) / paper.measure(firm.name, 12, "B"))
    paper.text(50, 36, firm.name, size, "B", colour=origin.colour, fields={"company": firm.name})
    paper.text(16, 78, person.name, 12, "B", fields={"name": person.name})
    paper.text(16, 90, role, 8, "I", colour=GREY, fields={"role": role})
    paper.text(16, 112, person.phone, 7.5, fields={"phone": person.phone})
    paper.text(16, 123, firm.email, 7.5, fields={"email": firm.email})
    paper.text(16, 134, firm.web, 7.5)
    paper.block(paper.width - 16, 112, firm.address, 7, 1.5, "address", align="right")
    return paper


def centred(origin: Origin) -> Paper:
    """Everything about the middle, on a dark or a light ground."""
    paper, firm, person, role = _card(origin)
    dark = origin.chance(0.35)
    ink = WHITE if dark else origin.colour
    if dark:
        paper.rectangle(0, 0, paper.width, paper.height, fill=origin.colour)
    middle = paper.width / 2
    paper.text(middle, 44, person.name, 15, "B", "centre", ink, fields={"name": person.name})
    paper.text(middle, 58, role, 8.5, "", "centre", ink, fields={"role": role})
    paper.line(middle - 40, 68, middle + 40, 68, 0.8, ink)
    size = min(10, 10 * (paper.width - 24) / paper.measure(firm.name, 10, "B"))
    paper.text(middle, 86, firm.name, size, "B", "centre", ink, fields={"company": firm.name})
    address = ", ".join(firm.address)
    paper.text(middle, 100, address, 7, "", "centre", ink, fields={"address": address})
    contact = f"{person.phone}  |  {firm.email}"
    paper.text(middle, 116, contact, 7.5, "", "centre", ink, fields={"phone": person.phone, "email": firm.email})
    paper.text(middle, 128, firm.web, 7.5, "", "centre", ink)
    return paper


LAYOUTS = (logo_left, centred)


def _card(origin: Origin) -> tuple[Paper, Company, Person, str]:
    paper = Paper(CARD, origin.pick(("helvetica", "times")), 8)
    return paper, origin.company(), origin.person(), origin.pick(origin.words("company")["roles"])
