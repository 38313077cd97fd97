"""Household bills for electricity, gas and water: readings, usage over the year, what is due."""

from datetime import timedelta

from samples.origin import Origin
from samples.ornament import bar_code, logo
from samples.paper import GREY, WHITE, Paper, columns

COUNTRIES = ("US", "GB", "DE", "ES")


class _Usage:
    """What a household used in a period, and what that costs; amounts in cents."""

    def __init__(self, origin: Origin) -> None:
        words = origin.words("utility_bill")
        self.kind, self.customer = words["kinds"][origin.pick(tuple(words["kinds"]))], origin.person()
        self.firm = origin.pick(self.kind["firms"])
        last = origin.day()
        first = last - timedelta(days=origin.pick((29, 30, 31, 61, 91)))
        self.period = f"{origin.date(first)} - {origin.date(last)}"
        self.date, self.due = origin.date(last + timedelta(days=4)), origin.date(last + timedelta(days=25))
        self.account = origin.number(origin.pick(("### ### ####", "##########", "#####-#####")))
        self.meter = origin.number("@#######")
        self.used, self.before = origin.between(80, 1900), origin.between(2000, 80000)
        rate = origin.between(9, 38)
        self.charge, self.standing = self.used * rate, origin.between(600, 3500)
        self.tax = round((self.charge + self.standing) * 0.07)
        self.total = self.charge + self.standing + self.tax
        self.previous = origin.price(3000, 20000)
        self.rate = f"{origin.amount(rate)}"
        self.web, self.phone = f"www.{self.firm.split()[0].lower()}.example", origin.number(origin.region.phone)


def household_bill(origin: Origin) -> Paper:
    """The total in a box at the top right, a column chart, a payment stub at the foot."""
    paper, usage, words = origin.paper(9.5), _Usage(origin), origin.words("utility_bill")
    labels, edge = words["labels"], paper.width - 48
    paper.rectangle(0, 0, paper.width, 14, fill=origin.colour)
    logo(paper, origin.rng, 48, 34, 34, origin.colour)
    paper.text(92, 58, usage.firm, 17, "B", colour=origin.colour, fields={"vendor": usage.firm})
    paper.text(edge, 48, usage.kind["title"], 12, "B", "right")
    y = paper.pairs(
        48,
        112,
        (
            (labels["account"], usage.account, "account_number"),
            (labels["date"], usage.date, "date"),
            (labels["period"], usage.period, "period"),
            (labels["due"], usage.due, "due_date"),
        ),
        108,
    )
    total = origin.money(usage.total)
    paper.rectangle(edge - 178, 96, edge, 160, fill=origin.pale, radius=6)
    paper.text(edge - 166, 116, labels["total"], 10, "B")
    paper.text(edge - 166, 144, total, 20, "B", colour=origin.colour, fields={"total": total})
    paper.text(48, y + 16, usage.customer.name, 10, "B", fields={"customer": usage.customer.name})
    paper.block(48, y + 30, usage.customer.address, field="address")
    service = ", ".join(usage.customer.address)
    paper.text(300, y + 16, labels["service"], 8.5, colour=GREY)
    paper.text(300, y + 30, service, 8.5)
    heads = columns(words["columns"], (150, 120, 120, edge - 48 - 390), "lrrr")
    reading = (usage.meter, f"{usage.before}", f"{usage.before + usage.used}", f"{usage.used} {usage.kind['unit']}")
    y = paper.table(48, y + 78, heads, [reading], 9, 2, origin.colour)
    y = _charges(paper, origin, usage, y + 14)
    _chart(paper, origin, 48, y + 30, edge - 48, words["history"])
    paper.text(48, paper.height - 196, words["contact"].format(phone=usage.phone, web=usage.web), 9)
    paper.paragraph(48, paper.height - 180, edge - 48, words["small"], 7.5, colour=GREY)
    paper.line(30, paper.height - 140, paper.width - 30, paper.height - 140, 0.6, GREY, 4)
    paper.text(paper.width / 2, paper.height - 130, words["stub"], 7, align="centre", colour=GREY)
    paper.pairs(
        48,
        paper.height - 106,
        ((labels["account"], usage.account, ""), (labels["due"], usage.due, ""), (labels["total"], total, "")),
        132,
        9,
    )
    paper.cell(edge - 150, paper.height - 116, 150, 34, words["amount"])
    bar_code(paper, origin.rng, 48, paper.height - 58, 240, 24)
    return paper


def plain_bill(origin: Origin) -> Paper:
    """A list of charges under a dark band; no chart."""
    paper, usage, words = origin.paper(10), _Usage(origin), origin.words("utility_bill")
    labels, edge = words["labels"], paper.width - 60
    paper.rectangle(0, 0, paper.width, 74, fill=origin.colour)
    paper.text(60, 46, usage.firm, 20, "B", colour=WHITE, fields={"vendor": usage.firm})
    paper.text(edge, 46, usage.kind["title"], 12, "", "right", WHITE)
    paper.text(60, 116, usage.customer.name, fields={"customer": usage.customer.name})
    paper.block(60, 130, usage.customer.address, field="address")
    y = paper.pairs(
        330,
        116,
        (
            (labels["account"], usage.account, "account_number"),
            (labels["date"], usage.date, "date"),
            (labels["due"], usage.due, "due_date"),
        ),
        112,
        9,
    )
    paper.text(60, y + 36, f"{labels['period']}: {usage.period}", style="B", fields={"period": usage.period})
    paper.text(60, y + 54, f"{usage.kind['meter']} {usage.meter}: {usage.before} - {usage.before + usage.used}")
    y = _charges(paper, origin, usage, y + 84)
    total = origin.money(usage.total)
    paper.rectangle(60, y + 6, edge, y + 34, fill=origin.pale)
    paper.text(68, y + 25, labels["total"], 12, "B")
    paper.text(edge - 8, y + 25, total, 14, "B", "right", fields={"total": total})
    paper.text(60, y + 70, words["contact"].format(phone=usage.phone, web=usage.web), 9)
    paper.paragraph(60, y + 92, edge - 60, words["small"], 8.5, colour=GREY)
    return paper


LAYOUTS = (household_bill, plain_bill)


def _charges(paper: Paper, origin: Origin, usage: _Usage, y: float) -> float:
    words, left = origin.words("utility_bill"), 48 if paper.type_size < 10 else 60
    labels, edge = words["labels"], paper.width - left
    rows = (
        (labels["previous"], usage.previous),
        (labels["payment"], -usage.previous),
        (f"{usage.kind['charge']}: {usage.used} {usage.kind['unit']} x {usage.rate}", usage.charge),
        (labels["standing"], usage.standing),
        (labels["tax"], usage.tax),
    )
    for label, cents in rows:
        paper.text(left, y, label)
        paper.text(edge, y, origin.money(cents), align="right")
        paper.line(left, y + 5, edge, y + 5, 0.3, GREY)
        y += 17
    current = origin.money(usage.total)
    paper.text(left, y + 2, labels["current"], style="B")
    paper.text(edge, y + 2, current, style="B", align="right")
    return y + 10


def _chart(paper: Paper, origin: Origin, x: float, y: float, width: float, title: str) -> None:
    paper.text(x, y, title, 9, "B")
    step = width / 12
    paper.line(x, y + 74, x + width, y + 74, 0.6)
    for month, name in enumerate(origin.region.months):
        height = origin.rng.uniform(14, 56)
        left = x + month * step
        paper.rectangle(left + 6, y + 74 - height, left + step - 6, y + 74, fill=origin.colour)
        paper.text(left + step / 2, y + 84, name[:3], 7, align="centre")
