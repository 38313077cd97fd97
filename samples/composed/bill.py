"""Invoices, orders, utility bills, delivery notes and payslips."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from samples.composed.draft import Draft, Piece
from samples.composed.question import Topic
from samples.composed.values import Hand

_TITLES: Final = {
    "invoice": ("INVOICE", "Tax Invoice", "RECHNUNG", "FACTURE", "Factuur", "FACTURA", "Pro forma invoice", "Bill"),
    "purchase order": ("PURCHASE ORDER", "Order confirmation", "Bestellung", "Bon de commande", "P.O."),
    "utility bill": ("Your electricity bill", "WATER BILL", "Gas statement", "Monthly Statement", "Stromrechnung"),
    "delivery note": ("DELIVERY NOTE", "Packing Slip", "Lieferschein", "Bill of Lading", "WAYBILL"),
    "payslip": ("PAYSLIP", "Earnings Statement", "Pay Stub", "Gehaltsabrechnung", "Bulletin de paie", "Salary Slip"),
}
_FACTS: Final = {
    "invoice": (
        "invoice_number",
        "invoice_date",
        "due_date",
        "customer_number",
        "order_number",
        "po_number",
        "payment_terms",
        "delivery_date",
        "reference",
        "currency",
        "order_date",
    ),
    "purchase order": (
        "po_number",
        "order_date",
        "delivery_date",
        "payment_terms",
        "incoterms",
        "contact",
        "reference",
    ),
    "utility bill": (
        "account_number",
        "statement_date",
        "due_date",
        "statement_period",
        "meter_number",
        "consumption",
        "previous_balance",
        "customer_number",
    ),
    "delivery note": (
        "order_number",
        "ship_date",
        "tracking_number",
        "delivery_date",
        "customer_number",
        "incoterms",
    ),
    "payslip": (
        "employee_number",
        "pay_date",
        "pay_period",
        "department",
        "job_title",
        "hourly_rate",
        "hire_date",
        "marital_status",
        "personal_number",
    ),
}
_COLUMNS: Final = (
    ("Description", "Qty", "Unit Price", "Amount"),
    ("Item", "Quantity", "Rate", "Total"),
    ("Artikel", "Menge", "Preis", "Gesamt"),
    ("Désignation", "Qté", "P.U. HT", "Montant HT"),
    ("DESCRIPTION", "HOURS", "RATE", "LINE TOTAL"),
    ("Particulars", "Nos", "Rate", "Value"),
)
_ADDRESSED: Final = (
    "Bill To",
    "BILL TO:",
    "Invoice To",
    "Sold To",
    "Customer",
    "Rechnung an",
    "Facturé à",
    "Client:",
    "To",
    "",
)
_SHIPPED: Final = ("Ship To", "SHIP TO:", "Deliver To:", "Delivery address", "Lieferadresse", "Livré à")
_EARNINGS: Final = (
    "Regular",
    "Overtime",
    "Holiday",
    "Bonus",
    "Grundgehalt",
    "Basic",
    "Housing allowance",
    "Commission",
)
_WITHHELD: Final = (
    "Federal Income Tax",
    "Social Security",
    "Medicare",
    "State tax",
    "Pension",
    "Lohnsteuer",
    "Health insurance",
    "EPF",
    "Union dues",
)


def draft(rng: random.Random) -> Draft:
    """A sheet of A4 or Letter."""
    made = sheet(rng, "invoice")
    kind = rng.choices(list(_TITLES), (6, 2, 2, 1, 3))[0]
    made.document = rng.choice((kind, kind, kind.split()[-1], "document"))
    if kind == "payslip":
        _payslip(made)
    else:
        _bill(made, kind)
    return made


def sheet(rng: random.Random, document: str, letters: tuple[float, float] = (65, 125)) -> Draft:
    """An empty sheet of an office's size, so many letters wide."""
    width = rng.choice((1000, 1200, 1414, 1546, 1700, 2480)) * rng.uniform(0.97, 1.03)
    height = width * rng.choice((1.414, 1.294, 1.294, 0.75))
    margin = width * rng.uniform(0.04, 0.13)
    pitch = rng.uniform(0.42, 0.56)
    size = (width - 2 * margin) / (rng.uniform(*letters) * pitch)
    return Draft(
        rng,
        document,
        width,
        height,
        size,
        pitch,
        margin,
        width - margin,
        height * rng.uniform(0.02, 0.08),
        rng.uniform(1.15, 1.9),
        Hand(rng),
    )


def _value(draft: Draft, name: str) -> str:
    """A value for a field of a bill."""
    rng, hand = draft.rng, draft.hand
    days = {
        "due_date": (10, 60),
        "delivery_date": (1, 60),
        "order_date": (-40, -1),
        "ship_date": (-3, 5),
        "hire_date": (-4000, -300),
    }
    if name in days or name in {"invoice_date", "statement_date", "pay_date"}:
        return hand.date(hand.day(*days.get(name, (0, 0))))
    if name.endswith("period"):
        start = hand.today - timedelta(days=30)
        return f"{hand.date(start)}{rng.choice((' - ', ' to ', '-', ' bis '))}{hand.date(hand.today)}"
    texts: dict[str, tuple[str, ...]] = {
        "payment_terms": (
            "Net 30",
            "30 days net",
            "Due on receipt",
            "14 Tage netto",
            "COD",
            "2% 10, Net 30",
            "60 days end of month",
        ),
        "incoterms": ("FOB", "CIF", "DAP", "EXW", "UPS Ground", "Courier", "Sea freight", "Best way"),
        "currency": ("USD", "EUR", "GBP", "MYR", "CHF", "SGD"),
        "department": ("Sales", "Production", "IT", "Finance", "700", "Warehouse"),
        "marital_status": ("Single", "Married", "S", "M", "MFJ"),
    }
    if name in texts:
        return rng.choice(texts[name])
    others: dict[str, Callable[[], str]] = {
        "consumption": lambda: f"{hand.cents(3000, 90000)} {rng.choice(('kWh', 'm3', 'therms', 'gal'))}",
        "contact": hand.person,
        "job_title": lambda: hand.of_kind("role"),
        "hourly_rate": lambda: hand.of_kind("price"),
        "previous_balance": lambda: hand.of_kind("price"),
    }
    return others.get(name, hand.identifier)()


def _bill(draft: Draft, kind: str) -> None:
    rng, hand = draft.rng, draft.hand
    firm = hand.company()
    facts = [(name, _value(draft, name)) for name in _FACTS[kind] if hand.chance(0.5)]
    if kind == "invoice" and not any(name.endswith("date") for name, _ in facts):
        facts.append(("invoice_date", _value(draft, "invoice_date")))
    rng.shuffle(facts)
    cut = rng.choice((len(facts), len(facts), rng.randint(0, len(facts))))
    title = rng.choice(_TITLES[kind])
    facts_style = draft.new_style()

    def known() -> None:
        with draft.styled(facts_style):
            draft.pairs(facts[:cut])

    def titled() -> None:
        draft.title(title)

    def parties() -> None:
        blocks: list[Callable[[], None]] = [lambda: _party(draft, "customer", "customer_address", _ADDRESSED)]
        if hand.chance(0.4):
            blocks.append(lambda: _party(draft, None, "ship_to", _SHIPPED))
        if hand.chance(0.3):
            blocks.append(known)
        rng.shuffle(blocks)
        draft.beside(blocks)

    def letterhead() -> None:
        _letterhead(draft, firm)

    order = [letterhead, titled, known, parties]
    if hand.chance(0.4):
        rng.shuffle(order)
    make = rng.randrange(4)
    if make == 0:
        draft.beside((order[0], order[1]))
        draft.beside((order[2], order[3]))
    elif make == 1:
        first, second = order[:2], order[2:]
        draft.beside((lambda: _each(first), lambda: _each(second)))
    else:
        _each(order)
    known_already = {name for name, _ in facts[:cut]} & set(draft.topics)
    if not known_already and facts:
        known()
    if facts[cut:]:
        draft.gap()
        draft.pairs(facts[cut:], rng.choice((1, 2, 3)))
    draft.gap(rng.choice((1, 2, 3)))
    _lines(draft, kind)
    _small(draft, firm)
    draft.absent(
        *(
            "due_date",
            "invoice_number",
            "invoice_date",
            "order_number",
            "po_number",
            "iban",
            "bic",
            "tax_id",
            "phone",
        ),
        *("email", "fax", "ship_to", "discount", "shipping", "tax", "subtotal", "payment_terms", "customer_number"),
        *("account_number", "meter_number", "consumption", "previous_balance", "delivery_date", "contact", "cashier"),
        *(
            "birth_date",
            "amount_paid",
            "balance_due",
            "tracking_number",
            "expiry_date",
            "signer",
            "tip",
            "policy_number",
        ),
    )


def _each(parts: list[Callable[[], None]]) -> None:
    for part in parts:
        part()


def _letterhead(draft: Draft, firm: str) -> None:
    rng, hand = draft.rng, draft.hand
    align = rng.choice(("left", "left", "right", "centre"))
    draft.put([draft.mark("vendor", firm)], align=align, size=draft.size * rng.choice((1, 1.3, 2)))
    if hand.chance(0.15):
        draft.put(rng.choice(hand.world["slogans"]), align=align)
    if hand.chance(0.85):
        for line in hand.address():
            draft.put([draft.mark("address", line)], align=align)
    for share, name, value in (
        (0.5, "phone", hand.phone()),
        (0.15, "fax", hand.phone()),
        (0.35, "email", hand.email(firm, hand.domain(firm))),
        (0.35, "website", hand.web(firm)),
        (0.3, "tax_id", hand.number(rng.choice(hand.country["tax_id"]))),
    ):
        if hand.chance(share):
            piece = draft.mark(name, value)
            bare = name in {"email", "website", "phone"} and hand.chance(0.35)
            draft.put(
                [piece] if bare else [Piece(draft.label(name) + rng.choice((": ", " ", ":"))), piece], align=align
            )
    draft.gap()


def _party(draft: Draft, name: str | None, address: str, labels: tuple[str, ...]) -> None:
    rng, hand = draft.rng, draft.hand
    label = rng.choice(labels)
    if label:
        draft.put(label)
    who = hand.person() if hand.chance(0.5) else hand.company()
    draft.put([draft.mark(name, who)] if name else who)
    if name and hand.chance(0.15):
        draft.put(f"{rng.choice(('Attn:', 'c/o', 'z. Hd.'))} {hand.person()}")
    for line in hand.address():
        draft.put([draft.mark(address, line)])
    if hand.chance(0.3) and "phone" in draft.topics:
        draft.put(hand.phone())
    draft.gap()


def _lines(draft: Draft, kind: str) -> None:
    """The table of goods and its totals."""
    rng, hand = draft.rng, draft.hand
    names = rng.sample(hand.world["goods"], rng.choice((1, 1, 2, 3, 5, 8, 12, 20, 25)))
    signed, codes = hand.chance(0.4), hand.chance(0.3)
    asked, total = rng.randrange(len(names)), 0
    rows: list[tuple[str | Piece, ...]] = []
    for index, name in enumerate(names):
        count, price = rng.choice((1, 1, 2, 3, 5, 10, 40)), hand.cents(100, 90_000)
        total += count * price
        quantity: str | Piece = str(count)
        amount: str | Piece = hand.money(count * price, signed)
        if index == asked:
            about = Topic(
                None,
                (f"amount for {name}", f"line total for {name}"),
                (f"How much is charged for {name}?", f"What does the {name} come to?"),
            )
            amount = draft.mark("line_amount", str(amount), about)
            counted = Topic(None, (f"quantity of {name}", f"number of {name}"), (f"How many {name} were ordered?",))
            quantity = draft.mark("line_quantity", str(quantity), counted)
        rows.append(
            (f"{hand.number('#####')} {name}" if codes else name, quantity, hand.money(price, signed), amount)
        )
    priced = kind not in {"delivery note"}
    width = 4 if priced else 2
    other = rng.choice([good for good in hand.world["goods"] if good not in names])
    draft.missing.append(Topic(None, (f"quantity of {other}",), (f"How much is charged for {other}?",)))
    order = list(range(width))
    if hand.chance(0.3):
        order[0], order[1] = order[1], order[0]
    header = rng.choice(_COLUMNS)
    if not priced:
        draft.topics.pop("line_amount", None)
    draft.table(
        [header[index] for index in order],
        [[row[index] for index in order] for row in rows],
        [(5, 1.5, 2, 2)[index] for index in order],
        [index > 0 and hand.chance(0.95) for index in order],
    )
    if not priced:
        return
    draft.gap(rng.choice((0, 1)))
    draft.need(8)
    sums: list[tuple[str, str]] = []
    if hand.chance(0.7):
        sums.append(("subtotal", hand.money(total, signed)))
    for share, name, part in ((0.15, "discount", -0.05), (0.2, "shipping", 0.03), (0.65, "tax", 0.19)):
        if hand.chance(share):
            value = round(total * part * rng.uniform(0.6, 1.1))
            total += value
            sums.append((name, hand.money(value, signed)))
    sums.append(("total", hand.money(total)))
    if hand.chance(0.2):
        paid = total // rng.randint(2, 5)
        sums += [("amount_paid", hand.money(-paid)), ("balance_due", hand.money(total - paid))]
    style = draft.new_style()
    with (
        draft.styled(style),
        draft.region(draft.left + (draft.right - draft.left) * rng.choice((0, 0.5, 0.6)), draft.right),
    ):
        draft.pairs(sums)


def _small(draft: Draft, firm: str) -> None:
    rng, hand = draft.rng, draft.hand
    draft.gap(rng.choice((1, 3)))
    bank = [
        (name, value)
        for share, name, value in (
            (0.7, "bank", f"{hand.invented()} {rng.choice(('Bank', 'Savings', 'Credit Union', 'Bank AG'))}"),
            (0.6, "account_number", hand.number("##########")),
            (0.5, "iban", hand.iban()),
            (0.4, "bic", hand.number("@@@@@@2@")),
            (0.2, "routing_number", hand.number("#########")),
            (0.3, "reference", hand.identifier()),
        )
        if hand.chance(share) and name not in draft.topics
    ]
    if bank and hand.chance(0.4):
        draft.put(
            rng.choice(("Bank details", "Payment information", "Bankverbindung", "Please remit to:", "PAYMENT"))
        )
        with draft.styled(draft.new_style()):
            draft.pairs(bank, rng.choice((1, 1, 2, 3)))
    for text in rng.sample(hand.world["terms"], rng.choice((0, 1, 2, 4))):
        draft.need(1)
        draft.paragraph([Piece(text)])
    if hand.chance(0.3):
        footer = [Piece(firm)]
        for name, value in (("address", ", ".join(hand.address())), ("website", hand.web(firm))):
            if name not in draft.topics:
                footer += [Piece(" · "), draft.mark(name, value)]
        draft.need(1)
        draft.put(footer, size=draft.size * 0.7, align="centre")


def _payslip(draft: Draft) -> None:
    rng, hand = draft.rng, draft.hand
    firm, worker = hand.company(), hand.person()
    facts = [("employee", worker), *((name, _value(draft, name)) for name in _FACTS["payslip"] if hand.chance(0.55))]

    def head() -> None:
        if hand.chance(0.75):
            draft.put([draft.mark("employer", firm)], size=draft.size * rng.choice((1, 1.5)))
            for line in hand.address():
                draft.put(
                    [
                        draft.mark(
                            "address",
                            line,
                            Topic(
                                None,
                                ("employer's address", "company address"),
                                ("Where is the employer based?",),
                            ),
                        )
                    ]
                )
        else:
            draft.pair("employer", firm)
        draft.gap()

    def title() -> None:
        draft.title(rng.choice(_TITLES["payslip"]))

    blocks = [head, title]
    rng.shuffle(blocks)
    if hand.chance(0.5):
        draft.beside(blocks)
    else:
        _each(blocks)
    if hand.chance(0.3):
        facts = facts[1:]
        draft.put([draft.mark("employee", worker)])
        for line in hand.address():
            draft.put([draft.mark("holder_address", line)])
    draft.pairs(facts, rng.choice((1, 1, 2, 3)))
    draft.gap()
    gross, held = _columns(draft, _EARNINGS, "earned"), _columns(draft, _WITHHELD, "withheld")
    sums = [("gross_pay", hand.money(gross)), ("deductions", hand.money(held)), ("net_pay", hand.money(gross - held))]
    sums = [item for item in sums if item[0] == "net_pay" or hand.chance(0.7)]
    rng.shuffle(sums)
    with draft.styled(draft.new_style()):
        draft.pairs(sums, rng.choice((1, 1, 2, 3)))
    draft.absent(
        "gross_pay",
        "deductions",
        "pay_date",
        "pay_period",
        "employee_number",
        "hourly_rate",
        "hire_date",
        "iban",
        "department",
        "tax_id",
        "phone",
        "birth_date",
        "due_date",
        "bank",
        "invoice_number",
        "total",
        "discount",
        "doctor",
    )


def _columns(draft: Draft, names: tuple[str, ...], verb: str) -> int:
    """Kinds of pay or of deductions, this period's and this year's; returns the sum of the former."""
    rng, hand = draft.rng, draft.hand
    chosen = rng.sample(names, rng.randint(1, 4))
    asked, total = rng.randrange(len(chosen)), 0
    rows: list[tuple[str | Piece, ...]] = []
    for index, name in enumerate(chosen):
        value = hand.cents(1500, 300_000)
        total += value
        current: str | Piece = hand.amount(value)
        so_far: str | Piece = hand.amount(value * rng.randint(2, 12))
        if index == asked:
            current = draft.mark(
                f"{verb}_now",
                str(current),
                Topic(
                    None, (f"{name} this period", f"current {name}"), (f"How much {name} was {verb} this period?",)
                ),
            )
            so_far = draft.mark(
                f"{verb}_so_far",
                str(so_far),
                Topic(
                    None, (f"{name} year to date", f"YTD {name}"), (f"How much {name} was {verb} so far this year?",)
                ),
            )
        rows.append((name, current, so_far))
    other = rng.choice([name for name in names if name not in chosen])
    draft.missing.append(Topic(None, (f"{other} this period", f"{other}"), (f"How much {other} was {verb}?",)))
    draft.table(
        (
            rng.choice(("Earnings", "Description", "")),
            rng.choice(("Current", "This Period", "Amount")),
            rng.choice(("YTD", "Year to date")),
        ),
        rows,
        (3, 1.5, 1.5),
        (False, True, True),
    )
    return total
