"""Contracts over two or more sheets: parties, numbered clauses, signatures at the end."""

import re
from datetime import timedelta

from samples.origin import Origin
from samples.ornament import signature
from samples.paper import GREY, Paper

COUNTRIES = ("US", "GB", "DE")


def agreement(origin: Origin) -> Paper:
    """A service agreement, a lease or a contract of employment."""
    words = origin.words("contract")
    kind = origin.pick(words["contracts"])
    size = origin.pick((11.0, 11.5, 12.0))
    paper, firm, other = (
        origin.paper(size, origin.pick(("times", "times", "helvetica"))),
        origin.company(),
        origin.person(),
    )
    signed = origin.day()
    date, start = origin.date(signed), origin.date(signed + timedelta(days=origin.between(5, 60)))
    first, second = kind["parties"]
    given = {
        "first": first,
        "second": second,
        "date": date,
        "start": start,
        "amount": origin.money(origin.between(8, 95) * 10000),
        "months": origin.pick((12, 24, 36)),
        "first_name": firm.name,
        "first_address": ", ".join(firm.address),
        "second_name": other.name,
        "second_address": ", ".join(other.address),
    }
    left, width = 72.0, paper.width - 144
    paper.text(paper.width / 2, 92, kind["title"], size + 4, "B", "centre", fields={"title": kind["title"]})
    opening = words["between"].format(**given)
    answers = {"date": date, "party_1": firm.name, "party_2": other.name}
    y = paper.paragraph(left, 128, width, opening, leading=1.6, fields=answers) + 14
    _number(paper, words["page"])
    for place, (heading, text) in enumerate(kind["clauses"], 1):
        spelled = re.sub(r"(^|\. )([a-z])", lambda found: found[0].upper(), text.format(**given))
        if y > paper.height - 170:
            y = _turned(paper, words["page"])
        paper.text(left, y, f"{place}. {heading}" if origin.language == "en" else f"§ {place} {heading}", style="B")
        wanted = {"start_date": start, "amount": given["amount"]}
        answers = {name: str(part) for name, part in wanted.items() if str(part) in spelled}
        y = paper.paragraph(left, y + size * 1.5, width, spelled, leading=1.6, fields=answers) + 12
    if y > paper.height - 190:
        y = _turned(paper, words["page"])
    y = paper.paragraph(left, y + 6, width, words["witness"], leading=1.6)
    for x, party, name in ((left, first, firm.name), (left + width / 2 + 10, second, other.name)):
        signature(paper, origin.rng, x + 16, y + 46, 90)
        paper.line(x, y + 56, x + width / 2 - 20, y + 56)
        shown = party[0].upper() + party[1:]
        paper.text(x, y + 70, shown, size - 2, colour=GREY)
        paper.text(x, y + 84, name, size - 1)
    return paper


LAYOUTS = (agreement,)


def _turned(paper: Paper, page: str) -> float:
    paper.turn()
    _number(paper, page)
    return 84


def _number(paper: Paper, page: str) -> None:
    paper.text(paper.width / 2, paper.height - 40, page.format(page=paper.pages), 8.5, align="centre", colour=GREY)
