"""Purchase orders: a buyer asks a vendor for goods, by a date and at a price."""

from datetime import timedelta

from samples.goods import items
from samples.origin import Origin
from samples.ornament import logo, signature
from samples.paper import GREY, Paper, columns

COUNTRIES = ("US", "GB", "DE", "FR")


def boxed_order(origin: Origin) -> Paper:
    """Vendor and shipping address in boxes, the terms in a strip, a grid of lines."""
    return _order(origin, grid=True)


def letter_order(origin: Origin) -> Paper:
    """The same in the style of a letter."""
    return _order(origin, grid=False)


LAYOUTS = (boxed_order, letter_order)


def _order(origin: Origin, grid: bool) -> Paper:
    paper, words = origin.paper(9.5), origin.words("order")
    labels, edge = words["labels"], paper.width - 50
    buyer, vendor, clerk = origin.company(), origin.company(), origin.person()
    number = origin.number(origin.pick(("PO-######", "45########", "P#####", "####-####")))
    ordered = origin.day()
    date, delivery = origin.date(ordered), origin.date(ordered + timedelta(days=origin.between(5, 40)))
    wanted = items(origin, 10)
    if grid:
        logo(paper, origin.rng, 50, 40, 30, origin.colour)
    paper.text(90 if grid else 50, 58, buyer.name, 14, "B", fields={"customer": buyer.name})
    paper.text(90 if grid else 50, 72, ", ".join(buyer.address), 8, colour=GREY)
    title = origin.pick(words["order_titles"])
    paper.text(edge, 60, title, 18, "B", "right", origin.colour)
    paper.pairs(
        edge - 190,
        92,
        (
            (labels["number"], number, "number"),
            (labels["date"], date, "date"),
            (labels["delivery"], delivery, "due_date"),
        ),
        100,
    )
    for x, label, name, address, field in (
        (50, labels["vendor"], vendor.name, vendor.address, "vendor"),
        (60 + (edge - 50) / 2, labels["ship_to"], buyer.name, origin.address(), ""),
    ):
        width = (edge - 50) / 2 - 10
        if grid:
            paper.rectangle(x, 152, x + width, 168, fill=origin.pale, outline=GREY)
            paper.rectangle(x, 168, x + width, 226, outline=GREY)
        paper.text(x + 6, 163, label, 9, "B")
        paper.text(x + 6, 182, name, fields={field: name} if field else None)
        paper.block(x + 6, 196, address)
    y = 250.0
    strip = (
        (labels["buyer"], clerk.name, "buyer"),
        (labels["terms"], origin.pick(words["terms"]), "payment_terms"),
        (labels["incoterm"], origin.pick(words["freight"]), ""),
    )
    third = (edge - 50) / 3
    for place, (label, text, field) in enumerate(strip):
        paper.cell(50 + place * third, y - 12, third, 28, label, text, field, 9, paper.face)
    rest = edge - 50 - 30 - 62 - 40 - 38 - 66 - 74
    heads = columns(words["columns"], (30, 62, rest, 40, 38, 66, 74), "lllrlrr")
    rows = [
        (
            f"{place * 10}",
            item.code,
            item.name,
            f"{item.count}",
            item.unit,
            origin.amount(item.price),
            origin.amount(item.sum),
        )
        for place, item in enumerate(wanted, 1)
    ]
    y = paper.table(50, y + 40, heads, rows, 8.5, 1.9, origin.pale if grid else None, "grid" if grid else "rows")
    total = origin.money(sum(item.sum for item in wanted))
    paper.text(edge - 110, y + 10, labels["total"], 11, "B", "right")
    paper.text(edge - 4, y + 10, total, 11, "B", "right", fields={"total": total})
    y = paper.paragraph(50, y + 44, edge - 50, words["instruction"].format(number=number), 9)
    signature(paper, origin.rng, 60, y + 44, 90)
    paper.line(50, y + 54, 220, y + 54)
    paper.text(50, y + 64, words["authorised"], 8, colour=GREY)
    return paper
