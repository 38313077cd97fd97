"""Statements of bank, card and investment accounts."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from samples.composed.bill import sheet
from samples.composed.draft import Draft, Piece
from samples.composed.question import Topic

_TITLES: Final = (
    "Account Statement",
    "STATEMENT OF ACCOUNT",
    "Kontoauszug",
    "Relevé de compte",
    "Your consolidated statement",
    "Extracto",
    "Credit Card Statement",
    "Brokerage Statement",
    "Rekeningafschrift",
)
_COLUMNS: Final = (
    ("Date", "Description", "Withdrawals", "Deposits", "Balance"),
    ("Buchung", "Verwendungszweck", "Soll", "Haben", "Saldo"),
    ("Date", "Details", "Debit", "Credit", "Balance"),
    ("Date", "Libellé", "Débit", "Crédit", "Solde"),
)


def draft(rng: random.Random) -> Draft:
    """A head, a summary and bookings."""
    made = sheet(rng, rng.choice(("statement", "bank statement", "account statement", "document")), (70, 120))
    hand = made.hand
    parts: list[Callable[[], None]] = [lambda: _bank(made), lambda: _holder(made), lambda: _facts(made)]
    rng.shuffle(parts)
    if hand.chance(0.5):
        made.beside(parts[:2])
        parts = parts[2:]
    for part in parts:
        part()
    made.title(rng.choice(_TITLES))
    _summary(made)
    if hand.chance(0.85):
        _bookings(made)
    for text in rng.sample(hand.world["terms"], rng.choice((0, 1, 3))):
        made.need(1)
        made.paragraph([Piece(text)])
    made.absent(
        *(
            "iban",
            "bic",
            "routing_number",
            "opening_balance",
            "closing_balance",
            "total_deposits",
            "total_withdrawals",
        ),
        *(
            "statement_date",
            "statement_period",
            "due_date",
            "minimum_payment",
            "credit_limit",
            "phone",
            "email",
            "tax_id",
        ),
        *("account_holder", "account_number", "customer_number", "invoice_number", "discount", "tax", "cashier"),
    )
    return made


def _bank(draft: Draft) -> None:
    hand = draft.hand
    name = hand.invented() + draft.rng.choice(
        (" Bank", " Credit Union", " Savings Bank", " & Co. Private Bank", " Bank AG")
    )
    draft.put([draft.mark("bank", name)], size=draft.size * draft.rng.choice((1, 1.5, 2)))
    if hand.chance(0.6):
        about = Topic(None, ("bank's address", "address of the bank"), ("Where is the bank?",))
        for line in hand.address(2):
            draft.put([draft.mark("bank address", line, about)])
    if hand.chance(0.5):
        draft.put([Piece(draft.label("phone") + ": "), draft.mark("phone", hand.phone())])
    draft.gap()


def _holder(draft: Draft) -> None:
    hand = draft.hand
    if hand.chance(0.3):
        draft.pair("account_holder", hand.person())
    else:
        draft.put([draft.mark("account_holder", hand.person())])
    for line in hand.address():
        draft.put([draft.mark("holder_address", line)])
    draft.gap()


def _facts(draft: Draft) -> None:
    rng, hand = draft.rng, draft.hand
    start = hand.today - timedelta(days=30)
    facts = [
        (name, value)
        for share, name, value in (
            (
                0.8,
                "account_number",
                hand.number(rng.choice(("##########", "#### #### ####", "XXXX####", "###-######-#"))),
            ),
            (0.6, "statement_date", hand.date(hand.today)),
            (
                0.6,
                "statement_period",
                f"{hand.date(start)} {rng.choice(('to', '-', 'through', 'bis'))} {hand.date(hand.today)}",
            ),
            (0.3, "iban", hand.iban()),
            (0.2, "bic", hand.number("@@@@@@2@")),
            (0.2, "customer_number", hand.identifier()),
            (0.15, "currency", rng.choice(("EUR", "USD", "GBP", "CHF"))),
        )
        if hand.chance(share)
    ]
    rng.shuffle(facts)
    with draft.styled(draft.new_style()):
        draft.pairs(facts)
    draft.gap()


def _summary(draft: Draft) -> None:
    rng, hand = draft.rng, draft.hand
    shares = (("opening_balance", 0.8), ("total_deposits", 0.6), ("total_withdrawals", 0.6), ("closing_balance", 0.9))
    rows = [(name, hand.money(hand.cents(1000, 2_000_000))) for name, share in shares if hand.chance(share)]
    if hand.chance(0.25):
        rows += [("credit_limit", hand.money(500_000)), ("minimum_payment", hand.money(hand.cents(500, 9000)))]
        rows.append(("due_date", hand.date(hand.day(10, 30))))
    if hand.chance(0.25):
        rng.shuffle(rows)
    with draft.styled(draft.new_style()):
        draft.pairs(rows, rng.choice((1, 1, 2, 4)))
    draft.gap()


def _bookings(draft: Draft) -> None:
    """A table of bookings, one of them asked for."""
    rng, hand = draft.rng, draft.hand
    names = rng.sample(hand.world["bookings"], rng.randint(2, 16))
    asked, balance = rng.randrange(len(names)), hand.cents(10_000, 900_000)
    rows: list[tuple[str | Piece, ...]] = []
    for index, name in enumerate(names):
        value, deposit = hand.cents(200, 90_000), hand.chance(0.3)
        balance += value if deposit else -value
        day: str | Piece = hand.date(hand.day(-29, 0))
        amount: str | Piece = hand.amount(value)
        if index == asked:
            day = draft.mark(
                "booking day",
                str(day),
                Topic(
                    None,
                    (f"date of {name}",),
                    (f"When was {name} booked?", f"On what date was the {name} transaction?"),
                ),
            )
            amount = draft.mark(
                "booking",
                str(amount),
                Topic(
                    None,
                    (f"amount of {name}",),
                    (f"How much was the {name} transaction?", f"How much was booked for {name}?"),
                ),
            )
        rows.append((day, name, "" if deposit else amount, amount if deposit else "", hand.amount(balance)))
    draft.table(rng.choice(_COLUMNS), rows, (1.3, 3.5, 1.5, 1.5, 1.5), (False, False, True, True, True))
    other = rng.choice([name for name in hand.world["bookings"] if name not in names])
    draft.missing.append(Topic(None, (f"amount of {other}",), (f"How much was the {other} transaction?",)))
