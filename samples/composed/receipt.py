"""Till receipts, restaurant bills and tickets of the whole world."""

import random
from typing import Final

from samples.composed.draft import Draft, Piece
from samples.composed.question import Topic
from samples.composed.values import Hand

_NAMES: Final = ("receipt", "receipt", "bill", "ticket", "document", "slip", "sales receipt", "purchase")
_SEPARATORS: Final = ("-" * 30, "=" * 28, "*" * 24, "- - - - - - - - -", "_" * 25, "." * 30)
_HEADERS: Final = (
    ("Item", "Qty", "Price", "Amount"),
    ("DESCRIPTION", "QTY", "U/P", "RM"),
    ("Description", "", "", "Total"),
    ("Artikel", "Menge", "", "EUR"),
    ("QTY", "ITEM", "", "TOTAL"),
    ("Désignation", "Qté", "P.U.", "Montant"),
    (),
    (),
)
_COMPANY_NUMBERS: Final = ("({})", "(Co. Reg. No: {})", "Co. No. {}", "({}-X)", "ROC NO. {}", "Reg. No.: {}")


def draft(rng: random.Random) -> Draft:
    """A till roll: narrow and as long as it takes."""
    letters, pitch = rng.uniform(26, 46), rng.uniform(0.44, 0.62)
    width = rng.choice((325, 480, 600, 800, 1080, 1300, 1700, 2400)) * rng.uniform(0.9, 1.1)
    margin = rng.choice((0.02, 0.05, 0.12, 0.28)) * width
    size = (width - 2 * margin) / (letters * pitch)
    height = width * rng.uniform(1.2, 3)
    names = rng.choice(_NAMES)
    top = size * rng.uniform(0.5, 6)
    made = Draft(rng, names, width, 1e9, size, pitch, margin, width - margin, top, rng.uniform(1.05, 1.5), Hand(rng))
    _write(made)
    made.height = max(height, made.y + size)
    return made


def _write(draft: Draft) -> None:
    rng, hand = draft.rng, draft.hand
    draft.hand.shouts = hand.chance(0.4)
    align = rng.choices(("centre", "left", "right"), (6, 3, 0.3))[0]
    _head(draft, align)
    extras = _extras(draft)
    rng.shuffle(extras)
    cut = rng.randint(0, len(extras))
    _scattered(draft, extras[:cut], align)
    totals = _goods(draft)
    _totals(draft, totals)
    _scattered(draft, extras[cut:], align)
    _foot(draft, align)
    draft.absent(
        *("total", "subtotal", "tax", "date", "time", "cashier", "phone", "tip", "discount", "change", "cash", "fax"),
        *("table", "guests", "due_date", "tax_id", "email", "website", "customer", "invoice_number", "order_number"),
        *("service_charge", "payment_method", "iban", "expiry_date", "card_number", "member_number", "ship_to"),
        *("birth_date", "receipt_number", "approval_code", "terminal", "item_count", "po_number", "rounding"),
    )


def _head(draft: Draft, align: str) -> None:
    rng, hand = draft.rng, draft.hand
    titles = hand.world["titles"]
    if hand.chance(0.25):
        draft.put(rng.choice([*titles, *hand.world["slogans"]]), align=align)
    name = hand.company("shops")
    _vendor(draft, name, align)
    address = [[draft.mark("address", line)] for line in hand.address()] if hand.chance(0.85) else []
    if address and hand.chance(0.06):
        address[0].insert(0, Piece(f"{draft.label('address')}: "))
    reach = _reach(draft, name)
    for pieces in address + reach if hand.chance(0.85) else reach + address:
        draft.put(pieces, align=align)
    draft.gap(rng.choice((0, 0.5, 2)))
    if hand.chance(0.5):
        draft.put(rng.choice(titles), align=rng.choice((align, "centre")), size=draft.size * rng.choice((1, 1.3)))
    if hand.chance(0.3):
        draft.put(rng.choice(_SEPARATORS), align=align)


def _vendor(draft: Draft, name: str, align: str) -> None:
    """The shop's name, perhaps below a scrap of its logo, in two lines, or with its number behind it."""
    rng, hand = draft.rng, draft.hand
    larger = rng.choice((1, 1, 1.3, 1.8, 2.4))
    if hand.chance(0.12):
        logo = rng.choice((hand.invented(), name.split(maxsplit=1)[0], "®", "&", hand.invented()[:3]))
        draft.put(logo, align=align, size=draft.size * larger)
        larger = 1.0
    words = name.split()
    cut = rng.randint(1, len(words) - 1) if len(words) > 2 and hand.chance(0.25) else len(words)
    parts = [" ".join(words[:cut]), " ".join(words[cut:])]
    lines = [[draft.mark("vendor", part)] for part in parts if part]
    if hand.chance(0.12):
        lines[-1].append(Piece(f" ({hand.number('######-@')})"))
    for pieces in lines:
        width = draft.measure("".join(piece.text for piece in pieces), draft.size * larger)
        draft.put(pieces, align=align, size=draft.size * larger * min(1, (draft.right - draft.left) / width))
    if hand.chance(0.25):
        before, after = rng.choice(_COMPANY_NUMBERS).split("{}")
        number = hand.number(rng.choice(("######", "20##01######", "######-@", "###")))
        draft.put([Piece(before), draft.mark("company_number", number), Piece(after)], align=align)


def _reach(draft: Draft, name: str) -> list[list[Piece]]:
    """Telephone, tax number and the like, a line each."""
    rng, hand = draft.rng, draft.hand
    joint = rng.choice((": ", " : ", " ", ":", ". "))
    lines = []
    if hand.chance(0.6):
        number = draft.mark("phone", hand.phone())
        lines.append([Piece(draft.label("phone") + joint), number] if hand.chance(0.75) else [number])
        if hand.chance(0.2):
            lines[-1] += [Piece(f"  {draft.label('fax')}{joint}"), draft.mark("fax", hand.phone())]
    if hand.chance(0.4):
        number = draft.mark("tax_id", hand.number(rng.choice(hand.country["tax_id"])))
        lines.append([Piece(draft.label("tax_id") + joint), number])
    if hand.chance(0.15):
        lines.append([draft.mark("website", hand.web(name))])
    if hand.chance(0.12):
        lines.append([draft.mark("email", hand.email("Info", hand.domain(name)))])
    if hand.chance(0.1):
        lines.append([Piece(rng.choice(hand.world["slogans"]))])
    rng.shuffle(lines)
    return lines


def _extras(draft: Draft) -> list[list[tuple[str, str]]]:
    """What stands about the goods, in groups that share a line."""
    rng, hand = draft.rng, draft.hand
    groups: list[list[tuple[str, str]]] = []
    if hand.chance(0.93):
        when = [("date", hand.date(hand.today))]
        if hand.chance(0.65):
            when.append(("time", hand.time()))
        groups.append(when)
    small: list[tuple[float, str, str]] = [
        (0.45, "receipt_number", hand.identifier()),
        (0.15, "invoice_number", hand.identifier()),
        (0.4, "cashier", rng.choice((hand.person_parts()[0], hand.person(), hand.number("##"), "ADMIN", "manager"))),
        (0.2, "terminal", hand.number(rng.choice(("#", "0#", "POS##", "@#")))),
        (0.2, "table", hand.number(rng.choice(("#", "##", "@#", "T0#")))),
        (0.12, "guests", str(rng.randint(1, 12))),
        (0.12, "transaction_number", hand.identifier()),
        (0.1, "order_number", hand.number("###")),
        (0.1, "customer", rng.choice((hand.person(), hand.company(), "CASH CUSTOMER"))),
        (0.08, "member_number", hand.number("########")),
        (0.06, "print_date", hand.date(hand.day(0, 3))),
    ]
    singles = [(name, value) for share, name, value in small if hand.chance(share)]
    while singles:
        count = rng.choice((1, 1, 2))
        groups.append(singles[:count])
        singles = singles[count:]
    return groups


def _scattered(draft: Draft, groups: list[list[tuple[str, str]]], align: str) -> None:
    rng, hand = draft.rng, draft.hand
    unlabelled = hand.chance(0.4)
    joint = rng.choice((": ", ":", " : ", " ", ". ", "#", " #: "))
    spread = hand.chance(0.4)
    for group in groups:
        parts: list[list[Piece]] = []
        for name, value in group:
            bare = name in {"date", "time"} and (unlabelled or (name == "time" and hand.chance(0.5)))
            piece = draft.mark(name, value)
            parts.append([piece] if bare else [Piece(draft.label(name) + joint), piece])
        if len(parts) == 2 and hand.chance(0.75):
            if spread:
                draft.put(parts[0], advance=False)
                draft.put(parts[1], align="right")
            else:
                draft.put([*parts[0], Piece(rng.choice((" ", "  ", " - "))), *parts[1]], align=align)
        else:
            for part in parts:
                if len(part) == 2 and hand.chance(0.1):
                    draft.pair(part[1].mark or "", part[1].text)
                else:
                    draft.put(part, align=rng.choice((align, align, "left")))
    if hand.chance(0.4):
        draft.put(rng.choice(_SEPARATORS), align=align)


def _goods(draft: Draft) -> int:
    """The bought items; returns their sum in cents. Some prices are asked for."""
    rng, hand = draft.rng, draft.hand
    names = rng.sample(hand.world["goods"], min(rng.choice((1, 1, 2, 3, 4, 6, 9, 14, 25)), len(hand.world["goods"])))
    header = rng.choice(_HEADERS)
    if header and hand.chance(0.8):
        draft.table(header, [], (5, 1.5, 2, 2), (False, True, True, True))
    make, signed, asked = rng.randrange(5), hand.chance(0.4), rng.randrange(len(names))
    total = 0
    for index, name in enumerate(names):
        shown = name.upper() if make % 2 else name
        count = rng.choice((1, 1, 1, 2, 3, 10))
        price = hand.cents(80, 12_000)
        total += price * count
        amount = Piece(hand.money(price * count, signed))
        if index == asked:
            about = Topic(
                None,
                (f"price of {name}", f"amount for {name}", f"cost of the {name}"),
                (f"How much did the {name} cost?", f"How much is the {name}?", f"What was charged for {name}?"),
            )
            amount = draft.mark("item_price", amount.text, about)
        if hand.chance(0.06):
            amount = (
                Piece(amount.text + rng.choice((" SR", " T", " A", "*", " Z")), amount.mark)
                if not amount.mark
                else amount
            )
        if make == 0:
            draft.put(shown, advance=False)
            draft.put([amount], align="right")
        elif make == 1:
            draft.put(f"{count} {shown}", advance=False)
            draft.put([amount], align="right")
        elif make == 2:
            draft.put(shown if not hand.chance(0.3) else f"{hand.number('#########')} {shown}")
            draft.put(f"  {count} x {hand.amount(price)}", advance=False)
            draft.put([amount], align="right")
        else:
            draft.table(
                (),
                [(shown[:20], str(count), hand.amount(price), amount)],
                (5, 1.2, 2, 2.2),
                (False, True, True, True),
            )
    other = rng.choice([good for good in hand.world["goods"] if good not in names])
    draft.missing.append(Topic(None, (f"price of {other}",), (f"How much did the {other} cost?",)))
    if hand.chance(0.25):
        draft.pair("item_count", str(len(names)))
    return total


def _totals(draft: Draft, goods: int) -> None:
    rng, hand = draft.rng, draft.hand
    style = draft.new_style()
    style = type(style)(
        rng.choices(("far", "inline", "column"), (7, 1.5, 1.5))[0], style.joint, style.capitals, style.at
    )
    signed, total = hand.chance(0.6), goods
    rows: list[tuple[str, str]] = []
    if hand.chance(0.55):
        rows.append(("subtotal", hand.money(goods, signed)))
    for share, name, part in (
        (0.08, "discount", -0.1),
        (0.12, "service_charge", 0.1),
        (0.55, "tax", 0.07),
        (0.1, "tip", 0.15),
    ):
        if hand.chance(share):
            value = int(goods * part * rng.uniform(0.5, 1.5))
            total += value
            rows.append((name, hand.money(value, signed)))
    if hand.chance(0.15):
        value = rng.choice((-2, -1, 0, 1, 2))
        total += value
        rows.append(("rounding", hand.money(value, signed)))
    head, tail = rows, []
    if hand.chance(0.1):
        head, tail = [], rows
    draft.gap(rng.choice((0, 0.5)))
    with draft.styled(style):
        if draft.left + draft.size * 18 < draft.right and hand.chance(0.3):
            with draft.region(draft.left + (draft.right - draft.left) * rng.uniform(0.2, 0.4), draft.right):
                _sums(draft, head, total, signed)
        else:
            _sums(draft, head, total, signed)
        draft.pairs(tail)
        _payment(draft, total, signed)
    if hand.chance(0.3):
        _tax_summary(draft, goods)


def _sums(draft: Draft, rows: list[tuple[str, str]], total: int, signed: bool) -> None:
    hand, size = draft.hand, draft.size
    draft.pairs(rows)
    if hand.chance(0.3):
        draft.put(draft.rng.choice(_SEPARATORS)[:20], align="right")
    if hand.chance(0.3):
        draft.size *= draft.rng.uniform(1.1, 1.6)
    value = hand.money(total, signed)
    if hand.chance(0.15):
        value = f"{draft.rng.choice(hand.country['money'])} {hand.amount(total)}"
    draft.pair("total", value)
    draft.size = size
    if hand.chance(0.12):
        draft.put(f"{draft.label('total')}:", advance=False)
        draft.put(hand.money(total, signed), align="right")


def _payment(draft: Draft, total: int, signed: bool) -> None:
    rng, hand = draft.rng, draft.hand
    way = rng.random()
    if way < 0.4:
        given = total if hand.chance(0.3) else (total // 1000 + rng.randint(1, 5)) * 1000
        draft.pair("cash", hand.money(given, signed))
        if given > total or hand.chance(0.5):
            draft.pair("change", hand.money(given - total, signed))
    elif way < 0.65:
        draft.pair("card_payment", hand.money(total, signed))
        if hand.chance(0.5):
            draft.pair("card_number", hand.number(rng.choice(("************####", "XXXX XXXX XXXX ####", "xx####"))))
        if hand.chance(0.4):
            draft.pair("approval_code", hand.number("######"))
    elif way < 0.8:
        draft.pair(
            "payment_method",
            rng.choice(("VISA", "Cash", "MasterCard", "Debit Card", "QR Pay", "Apple Pay", "Bar", "CB", "GoPay")),
        )


def _tax_summary(draft: Draft, goods: int) -> None:
    hand = draft.hand
    tax = draft.hand.country["tax"][0]
    draft.put(f"{tax} {draft.rng.choice(('SUMMARY', 'Summary', 'analysis', 'Breakdown'))}")
    draft.table(
        ("Code", "%", draft.rng.choice(("Amount", "Net", "Taxable")), tax),
        [("SR", "6", hand.amount(goods), hand.amount(goods * 6 // 100)), ("ZR", "0", hand.amount(0), hand.amount(0))],
        (2, 1, 2, 2),
        (False, True, True, True),
    )


def _foot(draft: Draft, align: str) -> None:
    rng, hand = draft.rng, draft.hand
    draft.gap(rng.choice((0, 1)))
    for text in rng.sample(hand.world["slogans"], rng.choice((0, 1, 1, 2, 4))):
        draft.paragraph([Piece(text)], align=align)
    if hand.chance(0.12):
        draft.put(
            rng.choice(("Returns until ", "Valid till ", "Next visit before ")) + hand.date(hand.day(7, 40)),
            align=align,
        )
