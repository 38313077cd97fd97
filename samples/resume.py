"""Résumés: one column with rules, or a coloured side column with a portrait."""

from collections.abc import Mapping
from typing import Any

from samples.origin import Company, Origin, Person
from samples.ornament import portrait
from samples.paper import GREY, WHITE, Paper

COUNTRIES = ("US", "GB", "DE")


class _Life:
    """A person's career: posts (role, firm, years), the latest first."""

    def __init__(self, origin: Origin) -> None:
        words = origin.words("resume")
        self.person: Person = origin.person()
        self.career: Mapping[str, Any] = origin.pick(words["careers"])
        self.posts: list[tuple[str, Company, str, list[str]]] = []
        end = origin.between(2021, 2025)
        until = words["until"]
        for _ in range(origin.between(2, 4)):
            begin = end - origin.between(1, 5)
            did = origin.rng.sample(self.career["did"], origin.between(2, 3))
            self.posts.append((origin.pick(self.career["role"]), origin.company(), f"{begin} - {until}", did))
            until, end = f"{begin}", begin
        self.role = self.posts[0][0]
        self.summary = self.career["summary"].format(role=self.role, years=2025 - end)
        self.degree, self.school = origin.pick(self.career["degree"]), origin.pick(words["schools"])
        self.schooled = f"{end - origin.between(3, 5)} - {end}"
        self.headings = {name: origin.pick(choices) for name, choices in words["headings"].items()}
        self.languages = origin.pick(words["languages"])


def one_column(origin: Origin) -> Paper:
    """Name and contact in the middle above, sections one below the other."""
    paper, life = origin.paper(10, origin.pick(("times", "helvetica"))), _Life(origin)
    left, edge = 62.0, paper.width - 62
    middle, person = paper.width / 2, life.person
    paper.text(middle, 66, person.name, 22, "B", "centre", origin.colour, fields={"name": person.name})
    contact = f"{', '.join(person.address)}  |  {person.phone}  |  {person.email}"
    answers = {"address": ", ".join(person.address), "phone": person.phone, "email": person.email}
    paper.text(middle, 84, contact, 9, align="centre", fields=answers)
    y = _heading(paper, origin, left, edge, 116, life.headings["summary"])
    y = paper.paragraph(left, y, edge - left, life.summary) + 14
    y = _posts(paper, origin, life, left, edge, y)
    y = _heading(paper, origin, left, edge, y + 8, life.headings["school"])
    y = _school(paper, life, left, edge, y)
    y = _heading(paper, origin, left, edge, y + 8, life.headings["skills"])
    y = paper.paragraph(left, y, edge - left, " • ".join(life.career["skills"])) + 14
    y = _heading(paper, origin, left, edge, y, life.headings["more"])
    paper.text(left, y, life.languages)
    return paper


def side_column(origin: Origin) -> Paper:
    """Contact, skills and a portrait in a coloured column on the left."""
    paper, life = origin.paper(9.5, "helvetica"), _Life(origin)
    side, person = 176.0, life.person
    paper.rectangle(0, 0, side, paper.height, fill=origin.colour)
    paper.picture(portrait(origin.rng), 44, 44, 88, 112)
    y = 190.0
    contact = [*person.address, "", person.phone, person.email]
    y = paper.block(20, y, contact, 8, 1.5, colour=WHITE) + 16
    paper.text(20, y, life.headings["skills"], 11, "B", colour=WHITE)
    y = paper.block(20, y + 18, life.career["skills"], 8.5, 1.6, colour=WHITE) + 16
    paper.text(20, y, life.headings["more"], 11, "B", colour=WHITE)
    paper.block(20, y + 18, life.languages.split(", "), 8, 1.6, colour=WHITE)
    left, edge = side + 28, paper.width - 36
    paper.text(left, 70, person.name, 24, "B", colour=origin.colour, fields={"name": person.name})
    paper.text(left, 90, life.role, 13, colour=GREY, fields={"role": life.role})
    y = _heading(paper, origin, left, edge, 124, life.headings["summary"])
    y = paper.paragraph(left, y, edge - left, life.summary) + 14
    y = _posts(paper, origin, life, left, edge, y)
    y = _heading(paper, origin, left, edge, y + 8, life.headings["school"])
    _school(paper, life, left, edge, y)
    return paper


LAYOUTS = (one_column, one_column, side_column)


def _heading(paper: Paper, origin: Origin, left: float, edge: float, y: float, text: str) -> float:
    paper.text(left, y, text.upper(), 11, "B", colour=origin.colour)
    paper.line(left, y + 4, edge, y + 4, 0.7, origin.colour)
    return y + 20


def _posts(paper: Paper, origin: Origin, life: _Life, left: float, edge: float, y: float) -> float:
    y = _heading(paper, origin, left, edge, y, life.headings["work"])
    for role, firm, years, did in life.posts:
        paper.text(left, y, role, style="B", fields={"role": role})
        paper.text(edge, y, years, align="right")
        paper.text(left, y + 13, f"{firm.name}, {firm.address[1]}", style="I", fields={"employer": firm.name})
        y += 27
        for line in did:
            paper.text(left + 6, y, "•")
            y = paper.paragraph(left + 16, y, edge - left - 16, line)
        y += 8
    return y


def _school(paper: Paper, life: _Life, left: float, edge: float, y: float) -> float:
    paper.text(left, y, life.degree, style="B", fields={"degree": life.degree})
    paper.text(edge, y, life.schooled, align="right")
    paper.text(left, y + 13, life.school, style="I", fields={"school": life.school})
    return y + 32
