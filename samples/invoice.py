"""Invoices between firms: with a logo, in the style of a letter, and a freelancer's."""

from datetime import timedelta
from typing import Any

from samples.goods import Item, items
from samples.origin import Company, Origin
from samples.ornament import logo, stamp
from samples.paper import GREY, WHITE, Paper, Rules, columns

COUNTRIES = ("US", "GB", "DE", "FR", "ES")


class _Deal:
    """What all invoices state, whatever they look like."""

    def __init__(self, origin: Origin) -> None:
        words = origin.words("invoice")
        self.supplier, self.customer = origin.company(), origin.company()
        self.number = origin.number(origin.pick(("2024-#####", "INV-#####", "######", "R##/####", "@@######")))
        day, self.days = origin.day(), origin.pick((10, 14, 30, 30, 45))
        self.date, self.due = origin.date(day), origin.date(day + timedelta(days=self.days))
        self.order = origin.number(origin.pick(("PO-#####", "45########", "B#####")))
        self.items = items(origin)
        self.net = sum(item.sum for item in self.items)
        rate = origin.region.tax_rates[0] if origin.region.code != "US" else origin.pick(origin.region.tax_rates)
        self.tax = round(self.net * rate / 10000)
        self.rate = f"{rate / 100:g}%".replace(".", origin.region.decimal)
        self.account, self.code = (
            origin.iban(),
            origin.number("#########") if origin.region.code == "US" else origin.number("@@@@@@@@XXX"),
        )
        self.bank = {"US": "Routing no.", "GB": "Sort code"}.get(origin.region.code, "BIC")
        if origin.region.code == "GB":
            self.code = origin.number("##-##-##")
        self.labels = {name: origin.pick(words[name]) for name in ("number", "date", "due", "to", "total", "title")}


def company_invoice(origin: Origin) -> Paper:
    """Logo and supplier at the top left, the title at the top right, a box of references."""
    paper, deal, words = origin.paper(), _Deal(origin), origin.words("invoice")
    edge = paper.width - 50
    logo(paper, origin.rng, 50, 44, 36, origin.colour)
    paper.text(96, 60, deal.supplier.name, 14, "B", fields={"vendor": deal.supplier.name})
    paper.block(
        96,
        74,
        [*deal.supplier.address, f"{words['phone']} {deal.supplier.phone}", deal.supplier.email],
        8.5,
        colour=GREY,
    )
    paper.text(edge, 68, deal.labels["title"], 26, "B", "right", origin.colour)
    y = _references(paper, deal, edge - 200, 110, 100)
    paper.text(50, 150, deal.labels["to"], 9, "B", colour=origin.colour)
    paper.text(50, 164, deal.customer.name, 10.5, "B", fields={"customer": deal.customer.name})
    paper.block(50, 178, deal.customer.address, field="customer_address")
    y = max(y, 214) + 24
    y = _positions(paper, origin, deal, y, head=origin.colour)
    y = _sums(paper, origin, deal, y + 6)
    y = paper.paragraph(50, y + 24, 330, words["terms"].format(days=deal.days, number=deal.number), 9)
    _bank(paper, deal, words, 50, y + 14)
    paper.text(paper.width / 2, paper.height - 60, words["thanks"], 10, "I", "centre", origin.colour)
    _foot(paper, deal.supplier, words)
    if origin.chance(0.15):
        stamp(paper, origin.rng, edge - 90, y + 40, words["paid"], 24)
    return paper


def letter_invoice(origin: Origin) -> Paper:
    """In the style of a business letter with an address window (DIN 5008)."""
    paper, deal, words = origin.paper(), _Deal(origin), origin.words("invoice")
    edge = paper.width - 57
    paper.text(edge, 60, deal.supplier.name, 16, "B", "right", origin.colour, fields={"vendor": deal.supplier.name})
    paper.text(edge, 74, f"{deal.supplier.web}  ·  {deal.supplier.phone}", 8, align="right", colour=GREY)
    sender = " · ".join([deal.supplier.name, *deal.supplier.address])
    paper.text(57, 130, sender, 6.5, colour=GREY)
    paper.line(57, 133, 290, 133, 0.3, GREY)
    paper.text(57, 150, deal.customer.name, fields={"customer": deal.customer.name})
    paper.block(57, 163, deal.customer.address, field="customer_address")
    _references(paper, deal, edge - 190, 150, 105)
    paper.text(57, 248, f"{deal.labels['title']} {deal.number}", 14, "B")
    y = paper.paragraph(57, 272, edge - 57, words["intro"])
    y = _positions(paper, origin, deal, y + 14, rules="none" if origin.chance(0.4) else "rows", left=57)
    y = _sums(paper, origin, deal, y + 8)
    paper.paragraph(57, y + 26, edge - 57, words["terms"].format(days=deal.days, number=deal.number))
    paper.text(57, y + 66, words["thanks"])
    paper.line(57, paper.height - 78, edge, paper.height - 78, 0.4, GREY)
    _bank(paper, deal, words, 57, paper.height - 64, size=7.5)
    paper.block(250, paper.height - 64, [deal.supplier.name, *deal.supplier.address], 7.5, colour=GREY)
    paper.text(
        edge, paper.height - 64, f"{words['tax_number']} {deal.supplier.tax_number}", 7.5, align="right", colour=GREY
    )
    return paper


def service_invoice(origin: Origin) -> Paper:
    """A one-person business: a band of colour, few lines, much air."""
    paper, deal, words = origin.paper(10.5, "helvetica"), _Deal(origin), origin.words("invoice")
    del deal.items[3:]
    deal.net = sum(item.sum for item in deal.items)
    deal.tax = 0
    person = origin.person()
    edge = paper.width - 60
    paper.rectangle(0, 0, paper.width, 96, fill=origin.colour)
    paper.text(60, 50, person.name, 22, "B", colour=WHITE, fields={"vendor": person.name})
    paper.text(60, 70, words["service"], 11, colour=WHITE)
    paper.text(edge, 60, deal.labels["title"], 20, align="right", colour=WHITE)
    paper.block(60, 130, [*person.address, person.phone, person.email], 9, colour=GREY, field="vendor_address")
    _references(paper, deal, edge - 200, 130, 110)
    paper.text(60, 214, deal.labels["to"], 9, "B", colour=GREY)
    paper.text(60, 230, deal.customer.name, 12, fields={"customer": deal.customer.name})
    paper.block(60, 246, deal.customer.address, field="customer_address")
    y = 310.0
    for item in deal.items:
        paper.text(60, y, item.name, 11, "B")
        paper.text(60, y + 15, f"{item.count} {item.unit} x {origin.money(item.price)}", 9, colour=GREY)
        paper.text(edge, y, origin.money(item.sum), 11, align="right")
        paper.line(60, y + 26, edge, y + 26, 0.4, GREY)
        y += 48
    printed = origin.money(deal.net)
    paper.text(edge - 150, y + 12, deal.labels["total"], 12, "B", "right")
    paper.text(edge, y + 12, printed, 18, "B", "right", origin.colour, fields={"total": printed})
    y = paper.paragraph(60, y + 70, 300, words["terms"].format(days=deal.days, number=deal.number), 9.5)
    _bank(paper, deal, words, 60, y + 20, holder=person.name)
    paper.text(60, paper.height - 50, words["thanks"], 10, "I", colour=GREY)
    return paper


LAYOUTS = (company_invoice, company_invoice, letter_invoice, service_invoice)


def _references(paper: Paper, deal: _Deal, x: float, y: float, indent: float) -> float:
    for name, printed, field in (
        (deal.labels["number"], deal.number, "number"),
        (deal.labels["date"], deal.date, "date"),
        (deal.labels["due"], deal.due, "due_date"),
    ):
        paper.text(x, y, f"{name}:", 9.5, "B")
        paper.text(x + indent, y, printed, 9.5, fields={field: printed})
        y += 15
    return y


def _positions(
    paper: Paper,
    origin: Origin,
    deal: _Deal,
    y: float,
    head: tuple[int, int, int] | None = None,
    rules: Rules = "rows",
    left: float = 50,
) -> float:
    titles = origin.words("invoice")["columns"]
    rest = paper.width - 2 * left - 58 - 40 - 38 - 74 - 80
    heads = columns(titles, (58, rest, 40, 38, 74, 80), "llrlrr")
    return paper.table(left, y, heads, [_position(origin, item) for item in deal.items], 9, 1.9, head, rules)


def _position(origin: Origin, item: Item) -> tuple[str, ...]:
    return item.code, item.name, str(item.count), item.unit, origin.amount(item.price), origin.amount(item.sum)


def _sums(paper: Paper, origin: Origin, deal: _Deal, y: float) -> float:
    words, edge = origin.words("invoice"), paper.width - 54
    net, tax, total = origin.money(deal.net), origin.money(deal.tax), origin.money(deal.net + deal.tax)
    paper.text(edge - 90, y, words["net"], align="right")
    paper.text(edge, y, net, align="right", fields={"net": net})
    paper.text(edge - 90, y + 16, f"{origin.region.tax_name} {deal.rate}", align="right")
    paper.text(edge, y + 16, tax, align="right", fields={"tax": tax})
    paper.line(edge - 190, y + 22, edge, y + 22, 0.8)
    paper.text(edge - 90, y + 36, deal.labels["total"], 11.5, "B", "right")
    paper.text(edge, y + 36, total, 11.5, "B", "right", fields={"total": total})
    return y + 42


def _bank(
    paper: Paper, deal: _Deal, words: dict[str, Any], x: float, y: float, size: float = 9, holder: str = ""
) -> None:
    paper.text(x, y, words["bank"], size, "B")
    paper.text(x, y + size * 1.35, f"{words['holder']}: {holder or deal.supplier.name}", size)
    paper.text(x, y + size * 2.7, f"{words['account']}: {deal.account}", size, fields={"account": deal.account})
    paper.text(x, y + size * 4.05, f"{deal.bank}: {deal.code}", size)


def _foot(paper: Paper, supplier: Company, words: dict[str, Any]) -> None:
    text = f"{supplier.name}  |  {words['tax_number']}: {supplier.tax_number}  |  {supplier.web}"
    paper.text(paper.width / 2, paper.height - 36, text, 7.5, align="centre", colour=GREY)
