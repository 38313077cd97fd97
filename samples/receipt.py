"""Receipts: a supermarket's till slip, a restaurant's bill, a filling station's, a shop's card slip."""

import random

from samples.origin import Origin
from samples.ornament import bar_code, matrix_code
from samples.paper import Paper


def till_slip(origin: Origin) -> Paper:
    """A supermarket's or shop's long narrow slip."""
    words, region = origin.words("receipt"), origin.region
    goods = [(origin.pick(words["goods"]), origin.price(79, 1999)) for _ in range(origin.between(3, 14))]
    paper = _slip(origin, 290 + 13 * len(goods))
    y = _head(paper, origin, f"{origin.pick(region.family)} {origin.pick(words['kinds'])}", 30)
    moment = f"{origin.between(8, 21):02}:{origin.between(0, 59):02}"
    day = origin.date(origin.day())
    paper.text(10, y, f"{day}  {moment}", fields={"date": day, "time": moment})
    paper.text(paper.width - 10, y, f"{words['till']} {origin.between(1, 12)}", align="right")
    y += 12
    paper.text(10, y, f"{words['cashier']}: {origin.pick([*region.given_female, *region.given_male])}")
    number = origin.number("######")
    paper.text(paper.width - 10, y, f"#{number}", align="right", fields={"number": number})
    y = _dashes(paper, y + 12)
    for name, cents in goods:
        paper.text(10, y, name)
        paper.text(paper.width - 10, y, origin.amount(cents), align="right")
        y += 13
    y = _dashes(paper, y)
    y = _sums(paper, origin, sum(cents for _, cents in goods), y)
    y = _payment(paper, origin, y)
    paper.text(paper.width / 2, y, f"{words['items']}: {len(goods)}", align="centre")
    paper.text(paper.width / 2, y + 16, origin.pick(words["thanks"]), align="centre")
    if origin.chance(0.6):
        paper.text(paper.width / 2, y + 28, words["returns"], 6.5, align="centre")
    (bar_code if origin.chance(0.7) else _code)(paper, origin.rng, 45, y + 38, paper.width - 90, 26)
    return paper


def restaurant_bill(origin: Origin) -> Paper:
    """A restaurant's bill: dishes with their counts, service, a line for the tip."""
    words, region = origin.words("receipt"), origin.region
    menu = origin.rng.sample(words["dishes"], origin.between(3, 7))
    dishes = [(origin.between(1, 3), name, origin.price(300, 2890)) for name in menu]
    paper = _slip(origin, 262 + 14 * len(dishes))
    place = origin.pick(words["places"])
    family = origin.pick(region.family)
    y = _head(paper, origin, f"{family}'s {place}" if origin.language == "en" else f"{place} {family}", 34)
    number = origin.number("####")
    paper.text(10, y, f"{words['order']} {number}", fields={"number": number})
    paper.text(paper.width - 10, y, f"{words['table']} {origin.between(1, 30)}", align="right")
    paper.text(10, y + 13, f"{words['server']}: {origin.pick(region.given_female)}")
    paper.text(paper.width - 10, y + 13, f"{words['guests']}: {origin.between(1, 6)}", align="right")
    day, moment = origin.date(origin.day()), f"{origin.between(11, 22)}:{origin.between(0, 59):02}"
    paper.text(10, y + 26, f"{day} {moment}", fields={"date": day, "time": moment})
    y = _dashes(paper, y + 39)
    for count, name, cents in dishes:
        paper.text(10, y, f"{count} x {name}" if origin.language != "en" else f"{count} {name}")
        paper.text(paper.width - 10, y, origin.amount(count * cents), align="right")
        y += 14
    y = _dashes(paper, y)
    y = _sums(paper, origin, sum(count * cents for count, _, cents in dishes), y)
    if region.code == "US":
        paper.text(10, y + 4, f"{words['tip']}:  ____________")
        y += 22
    y = _payment(paper, origin, y)
    paper.text(paper.width / 2, y + 6, origin.pick(words["thanks"]), align="centre")
    return paper


def fuel_slip(origin: Origin) -> Paper:
    """A filling station's slip: pump, litres or gallons, price of one."""
    words, region = origin.words("receipt"), origin.region
    american = region.code == "US"
    paper = _slip(origin, 262)
    y = _head(
        paper,
        origin,
        f"{origin.pick(('Petrolane', 'Roadstar', 'Oilway', 'Vento', 'Gasco'))} {origin.pick(region.family)}",
        32,
    )
    day, moment = origin.date(origin.day()), f"{origin.between(6, 22):02}:{origin.between(0, 59):02}"
    paper.text(10, y, f"{day}   {moment}", fields={"date": day, "time": moment})
    number = origin.number("#######")
    label = {"en": "Invoice #", "de": "Beleg-Nr.", "fr": "Ticket no", "es": "Ticket"}[origin.language]
    paper.text(10, y + 13, f"{label} {number}", fields={"number": number})
    y = _dashes(paper, y + 26)
    grade = {
        "en": ("UNLEADED 87", "DIESEL", "PREMIUM 93"),
        "de": ("Super E10", "Diesel", "Super Plus"),
        "fr": ("SP95-E10", "GAZOLE", "SP98"),
        "es": ("GASOLINA 95", "GASOLEO A"),
    }
    price = origin.between(2990, 4890) if american else origin.between(1399, 1999)
    volume = origin.between(4000, 18000) if american else origin.between(12000, 62000)
    total = round(price * volume / 10000)
    per = {"en": "Price/Gal" if american else "Price/Litre", "de": "EUR/Liter", "fr": "Prix/L", "es": "Precio/L"}[
        origin.language
    ]
    unit = {"en": "Gallons" if american else "Litres", "de": "Liter", "fr": "Litres", "es": "Litros"}[origin.language]
    pump = {"en": "Pump", "de": "Säule", "fr": "Pompe", "es": "Surtidor"}[origin.language]
    rows = (
        (f"{pump} {origin.between(1, 12)}", origin.pick(grade[origin.language])),
        (unit, f"{volume / 1000:.3f}".replace(".", region.decimal)),
        (per, f"{price / 1000:.3f}".replace(".", region.decimal)),
    )
    for left, right in rows:
        paper.text(10, y, left)
        paper.text(paper.width - 10, y, right, align="right")
        y += 14
    y = _dashes(paper, y)
    paper.text(10, y, words["total"], 11, "B")
    printed = origin.money(total)
    paper.text(paper.width - 10, y, printed, 11, "B", "right", fields={"total": printed})
    y = _payment(paper, origin, y + 20)
    paper.text(paper.width / 2, y, origin.pick(words["thanks"]), align="centre")
    return paper


LAYOUTS = (till_slip, restaurant_bill, fuel_slip)
COUNTRIES = ("US", "GB", "DE", "FR", "ES")


def _slip(origin: Origin, height: float) -> Paper:
    return Paper((origin.pick((205.0, 216.0, 228.0)), height), origin.pick(("courier", "courier", "helvetica")), 8)


def _head(paper: Paper, origin: Origin, name: str, y: float) -> float:
    size = 14.0
    while paper.measure(name, size, "B") > paper.width - 16:
        size -= 0.5
    middle = paper.width / 2
    shown = name.upper() if origin.chance(0.6) else name
    while paper.measure(shown, size, "B") > paper.width - 16:
        size -= 0.5
    paper.text(middle, y, shown, size, "B", "centre", fields={"vendor": shown})
    y = paper.block(middle, y + 14, origin.address(), field="address", align="centre")
    paper.text(middle, y, f"{origin.words('receipt')['phone']} {origin.number(origin.region.phone)}", align="centre")
    return y + 20


def _sums(paper: Paper, origin: Origin, net: int, y: float) -> float:
    """Subtotal, tax and total: US prices are before tax, the others' hold it."""
    words, rate = origin.words("receipt"), origin.pick(origin.region.tax_rates)
    before_tax = origin.region.code == "US"
    tax = round(net * rate / 10000) if before_tax else round(net * rate / (10000 + rate))
    total = net + tax if before_tax else net
    percent = f"{rate / 100:g}%".replace(".", origin.region.decimal)
    rows = [
        (words["subtotal"], origin.amount(total - tax), "subtotal"),
        (f"{_tax_name(origin)} {percent}", origin.amount(tax), "tax"),
    ]
    for label, printed, field in rows if before_tax or origin.chance(0.5) else []:
        paper.text(10, y, label)
        paper.text(paper.width - 10, y, printed, align="right", fields={field: printed})
        y += 13
    printed = origin.money(total)
    size = origin.pick((10, 11, 13))
    paper.text(10, y + 4, words["total"], size, "B")
    paper.text(paper.width - 10, y + 4, printed, size, "B", "right", fields={"total": printed})
    return y + 22


def _tax_name(origin: Origin) -> str:
    return "VAT" if origin.region.code == "GB" else origin.words("receipt")["tax"]


def _payment(paper: Paper, origin: Origin, y: float) -> float:
    words = origin.words("receipt")
    total = paper.fields["total"].text
    if origin.chance(0.4):
        paper.text(10, y, words["cash"])
        paper.text(paper.width - 10, y, total, align="right")
        paper.text(10, y + 13, words["change"])
        paper.text(paper.width - 10, y + 13, origin.amount(0), align="right")
        return y + 34
    paper.text(10, y, f"{words['card']}  ************{origin.number('####')}")
    paper.text(10, y + 13, f"{words['approved']}  AUTH {origin.number('######')}")
    return y + 34


def _dashes(paper: Paper, y: float) -> float:
    paper.line(10, y - 5, paper.width - 10, y - 5, 0.7, dash=2.5)
    return y + 10


def _code(paper: Paper, rng: random.Random, x: float, y: float, width: float, height: float) -> None:
    matrix_code(paper, rng, x + width / 2 - 24, y - 4, 48)
