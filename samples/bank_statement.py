"""Statements of a bank account over a month: a list of transactions between two balances."""

from datetime import date, timedelta

from samples.origin import Origin
from samples.ornament import logo
from samples.paper import GREY, Paper, columns

COUNTRIES = ("US", "GB", "DE", "FR", "ES")


def monthly_statement(origin: Origin) -> Paper:
    """One month of a private account, over one sheet or two."""
    words, person = origin.words("bank_statement"), origin.person()
    bank, paper = origin.pick(words["banks"]), origin.paper(9.5)
    first = origin.day().replace(day=1)
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    edge = paper.width - 50
    entries, opening = _entries(origin, first, last), origin.between(20000, 900000)
    closing = opening + sum(cents for _, _, cents in entries)
    logo(paper, origin.rng, 50, 40, 28, origin.colour)
    paper.text(86, 60, bank, 16, "B", colour=origin.colour, fields={"bank": bank})
    paper.text(edge, 56, origin.pick(words["title"]), 14, "B", "right")
    paper.text(edge, 70, f"{words['page']} 1", 8, align="right", colour=GREY)
    paper.text(50, 120, person.name, 10.5, fields={"account_holder": person.name})
    paper.block(50, 134, person.address, 10.5, field="address")
    account, period = origin.iban(), (origin.date(first), origin.date(last))
    printed = f"{period[0]} {words['to']} {period[1]}"
    y = 120.0
    for label, text, field in (
        (words["number"], account, "account_number"),
        (words["period"], printed, "period"),
        (words["date"], period[1], "date"),
    ):
        paper.text(330, y, label, 8, colour=GREY)
        paper.text(330, y + 12, text, 10, "B", fields={field: text})
        y += 28
    y = _summary(paper, origin, entries, opening, closing, 224)
    return _movements(paper, origin, entries, opening, y)


def plain_listing(origin: Origin) -> Paper:
    """As a bank's computer prints it: one typewriter face, no colour."""
    words, person = origin.words("bank_statement"), origin.person()
    bank, paper = origin.pick(words["banks"]), origin.paper(9, "courier")
    first = origin.day().replace(day=1)
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    entries, opening = _entries(origin, first, last), origin.between(20000, 900000)
    paper.text(50, 56, bank.upper(), 13, "B", fields={"bank": bank.upper()})
    title = origin.pick(words["title"]).upper()
    paper.text(50, 76, title, 11)
    account, y = origin.iban(), 104.0
    period = f"{origin.date(first)} {words['to']} {origin.date(last)}"
    for label, text, field in (
        (words["holder"], person.name, "account_holder"),
        (words["number"], account, "account_number"),
        (words["period"], period, "period"),
    ):
        paper.text(50, y, f"{label}:")
        paper.text(200, y, text, fields={field: text})
        y += 14
    closing = opening + sum(cents for _, _, cents in entries)
    y = _summary(paper, origin, entries, opening, closing, y + 14)
    return _movements(paper, origin, entries, opening, y)


LAYOUTS = (monthly_statement, monthly_statement, plain_listing)


def _entries(origin: Origin, first: date, last: date) -> list[tuple[date, str, int]]:
    days = sorted(origin.day(first, last) for _ in range(origin.between(9, 34)))
    words = origin.words("bank_statement")
    spent, earned = words["spent"], words["earned"]
    return [
        (day, origin.pick(earned), origin.price(2000, 420000))
        if origin.chance(0.15)
        else (day, origin.pick(spent), -origin.price(350, 95000))
        for day in days
    ]


def _summary(
    paper: Paper, origin: Origin, entries: list[tuple[date, str, int]], opening: int, closing: int, y: float
) -> float:
    words, edge = origin.words("bank_statement"), paper.width - 50
    plain = paper.face == "courier"
    if not plain:
        paper.rectangle(50, y - 16, edge, y + 40, fill=origin.pale)
    paper.text(58, y, words["summary"], 10, "B")
    step = (edge - 66) / 4
    shown = (
        (words["opening"], opening, "opening_balance"),
        (words["in"], sum(cents for _, _, cents in entries if cents > 0), "deposits"),
        (words["out"], sum(cents for _, _, cents in entries if cents < 0), "withdrawals"),
        (words["closing"], closing, "closing_balance"),
    )
    for place, (label, cents, field) in enumerate(shown):
        printed, x = origin.money(cents), 58 + place * step
        if plain:
            paper.text(58, y + 14 * (place + 1), label)
            paper.text(330, y + 14 * (place + 1), printed, align="right", fields={field: printed})
        else:
            paper.text(x, y + 16, label, 8, colour=GREY)
            paper.text(x, y + 30, printed, 11, "B", fields={field: printed})
    return y + (14 * 6 if plain else 66)


def _movements(paper: Paper, origin: Origin, entries: list[tuple[date, str, int]], balance: int, y: float) -> Paper:
    words = origin.words("bank_statement")
    rest = paper.width - 100 - 82 - 3 * 78
    heads = columns(words["columns"], (82, rest, 78, 78, 78), "llrrr")
    rows = []
    for day, what, cents in entries:
        balance += cents
        spent, earned = (origin.amount(-cents), "") if cents < 0 else ("", origin.amount(cents))
        rows.append((origin.date(day), what, spent, earned, origin.amount(balance)))
    head = None if paper.face == "courier" else origin.colour
    while rows:
        room = int((paper.height - 90 - y) / 14.5)
        y = paper.table(50, y, heads, rows[:room], 8.5, 1.7, head, "none" if head is None else "rows")
        rows = rows[room:]
        _small_print(paper, words["small"])
        if rows:
            paper.turn()
            paper.text(paper.width - 50, 46, f"{words['page']} {paper.pages}", 8, align="right", colour=GREY)
            y = 76
    return paper


def _small_print(paper: Paper, text: str) -> None:
    paper.paragraph(50, paper.height - 48, paper.width - 100, text, 6.5, colour=GREY)
