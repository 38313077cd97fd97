"""Delivery notes and packing slips: what was sent, without prices, with a place to sign for it."""

from datetime import timedelta

from samples.goods import items
from samples.origin import Origin
from samples.ornament import bar_code, logo, signature, stamp
from samples.paper import GREY, Paper, columns

COUNTRIES = ("US", "GB", "DE", "FR")


def delivery_note(origin: Origin) -> Paper:
    """One sheet that travels with the goods."""
    paper, words = origin.paper(9.5), origin.words("order")
    labels, edge = words["labels"], paper.width - 50
    supplier, customer = origin.company(), origin.company()
    number = origin.number(origin.pick(("DN######", "80######", "L-#####")))
    order = origin.number(origin.pick(("PO-######", "45########", "P#####")))
    shipped = origin.day()
    date, sent = origin.date(shipped), items(origin, 11)
    logo(paper, origin.rng, edge - 32, 36, 32, origin.colour)
    paper.text(edge - 42, 58, supplier.name, 13, "B", "right", fields={"vendor": supplier.name})
    paper.text(edge - 42, 71, f"{', '.join(supplier.address)}  {supplier.phone}", 8, align="right", colour=GREY)
    paper.text(50, 110, origin.pick(words["note_titles"]), 20, "B")
    bar_code(paper, origin.rng, 50, 120, 130, 20)
    paper.text(50, 168, labels["deliver_to"], 8, colour=GREY)
    paper.text(50, 182, customer.name, 10.5, "B", fields={"customer": customer.name})
    paper.block(50, 196, customer.address, field="customer_address")
    carrier = origin.pick(("Swift Haulage", "TransEuro Cargo", "Parcelway", "Own vehicle", "Hellmark Spedition"))
    weight = f"{origin.between(3, 900)}{origin.region.decimal}{origin.between(0, 9)} kg"
    paper.pairs(
        320,
        168,
        (
            (labels["note"], number, "number"),
            (labels["shipped"], date, "date"),
            (labels["order"], order, "order_number"),
            (labels["carrier"], carrier, "carrier"),
            (labels["packages"], f"{origin.between(1, 9)}", ""),
            (labels["weight"], weight, "weight"),
        ),
        110,
    )
    rest = edge - 50 - 30 - 66 - 60 - 60 - 44
    heads = columns(words["note_columns"], (30, 66, rest, 60, 60, 44), "lllrrl")
    rows = [
        (
            f"{place}",
            item.code,
            item.name,
            f"{item.count}",
            f"{item.count if origin.chance(0.85) else max(0, item.count - 1)}",
            item.unit,
        )
        for place, item in enumerate(sent, 1)
    ]
    rules = origin.pick(("rows", "grid"))
    y = paper.table(
        50, 290, heads, rows, 9, 2, origin.pick((None, origin.pale)), "grid" if rules == "grid" else "rows"
    )
    y = max(y + 40, paper.height - 210)
    paper.text(50, y, words["received"] + ":", 9.5, "B")
    paper.line(50, y + 48, 260, y + 48)
    paper.text(50, y + 58, words["name_date"], 7.5, colour=GREY)
    paper.line(320, y + 48, edge, y + 48)
    paper.text(320, y + 58, words["checked"], 7.5, colour=GREY)
    if origin.chance(0.7):
        signature(paper, origin.rng, 60, y + 40, 80)
        paper.text(180, y + 42, origin.date(shipped + timedelta(days=2)), 10, "I", colour=(30, 40, 120), face="times")
    if origin.chance(0.3):
        stamp(paper, origin.rng, edge - 60, y + 20, ("RECEIVED", origin.date(shipped + timedelta(days=2))), 11)
    paper.paragraph(50, paper.height - 60, edge - 50, words["small"], 7.5, colour=GREY)
    return paper


LAYOUTS = (delivery_note,)
