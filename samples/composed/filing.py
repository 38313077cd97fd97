"""Cover pages of filings, cheques and tables of accounts: captions below values, and columns of years."""

import random
from typing import Final

from samples.composed.bill import sheet
from samples.composed.draft import Draft, Piece, Style
from samples.composed.facts import Telling
from samples.composed.question import Topic
from samples.composed.values import Hand

_HEADS: Final = (
    "UNITED STATES",
    "SECURITIES AND EXCHANGE COMMISSION",
    "Washington, D.C. 20549",
    "FORM 10-Q",
    "FORM 8-K",
    "FORM 10-K",
    "(Mark One)",
    "COMPANIES REGISTER",
    "Annual return",
)
_BOXES: Final = (
    "☒ QUARTERLY REPORT PURSUANT TO SECTION 13 OR 15(d)",
    "☐ TRANSITION REPORT PURSUANT TO SECTION 13 OR 15(d)",
    "Securities registered pursuant to Section 12(b) of the Act:",
    "Large accelerated filer ☐ Accelerated filer ☐",
    "Indicate by check mark whether the registrant has filed all reports. Yes ☒ No ☐",
)
_WORDS: Final = ("one", "two", "four", "six", "nine", "eleven", "twenty", "forty", "seventy", "ninety")


def draft(rng: random.Random) -> Draft:
    """A filing's first page and its accounts, or a cheque."""
    if rng.random() < 0.25:
        return _cheque(rng)
    made = sheet(rng, rng.choice(("filing", "report", "form 10-Q", "document")), (75, 120))
    cover = made.hand.chance(0.6)
    if cover:
        _cover(made)
        if made.hand.chance(0.4):
            made.pages.append([])
            made.y = made.top
    if not cover or made.hand.chance(0.6):
        accounts(made)
    if made.hand.chance(0.4):
        telling = Telling(made, rng.choice(("government", "news", "minutes")))
        made.hand.language = "en"
        made.paragraph(telling.paragraph(rng.randint(1, 3)))
        telling.ask_in_vain()
    if cover:
        made.absent(
            *("ticker", "exchange", "commission_file_number", "incorporation_state", "employer_id", "office_address"),
            *(
                "office_phone",
                "period_ended",
                "filing_date",
                "signer",
                "due_date",
                "invoice_number",
            ),
            *("website", "email", "tax_id", "fax", "total"),
        )
    return made


def _cover(draft: Draft) -> None:
    rng, hand = draft.rng, draft.hand
    for text in rng.sample(_HEADS, rng.randint(1, 4)):
        draft.put(text, align="centre")
    for text in rng.sample(_BOXES, rng.randint(0, 2)):
        draft.paragraph([Piece(text)])
    ended = hand.date(hand.today, rng.choice(("{month} {d}, {y}", "{month} {d}, {y}", "{d} {month} {y}")))
    if hand.chance(0.8):
        draft.put(
            [Piece(f"{draft.label('period_ended')} "), draft.mark("period_ended", ended)],
            align=rng.choice(("left", "centre")),
        )
    if hand.chance(0.7):
        number = draft.mark("commission_file_number", hand.number("0##-#####"))
        draft.put(
            [Piece(draft.label("commission_file_number") + rng.choice((": ", " ", " - "))), number], align="centre"
        )
    draft.gap(1)
    above = hand.chance(0.15)
    _captioned(draft, [("registrant", hand.company())], above)
    _captioned(
        draft,
        [("incorporation_state", hand.pick(hand.world["states"])), ("employer_id", hand.number("##-#######"))],
        above,
    )
    _captioned(draft, [("office_address", "\n".join(hand.address(3)))], above)
    _captioned(draft, [("office_phone", hand.number("(###) 555-01##"))], above)
    if hand.chance(0.6):
        symbol = draft.mark("ticker", hand.number(rng.choice(("@@@", "@@@@"))))
        exchange = draft.mark("exchange", hand.pick(hand.world["exchanges"]))
        share = rng.choice(("Common stock, $0.01 par value per share", "Ordinary shares", "Class A common stock"))
        header = ("Title of each class", draft.label("ticker"), draft.label("exchange")[:36])
        draft.table(header, [(share, symbol, exchange)], (4, 2, 3), (False, False, False))
    if hand.chance(0.4):
        count = draft.mark("shares_outstanding", f"{hand.rng.randint(10**6, 9 * 10**8):,}")
        outstanding = hand.long_date(hand.day(10, 40))
        draft.paragraph(
            [
                Piece(f"As of {outstanding}, there were "),
                count,
                Piece(" shares of the registrant's common stock outstanding."),
            ]
        )
    draft.gap()


def _captioned(draft: Draft, fields: list[tuple[str, str]], above: bool) -> None:
    """Values with their captions below, now and then above, side by side and centred."""
    rng = draft.rng
    if rng.random() < 0.1:
        return

    def one(name: str, value: str) -> None:
        caption = draft.label(name, foreign=0)
        if above:
            draft.put(caption, align="centre", size=draft.size * 0.85)
        for line in value.split("\n"):
            draft.put([draft.mark(name, line)], align="centre")
        if not above:
            for line in _folded(caption, rng.choice((30, 60))):
                draft.put(line, align="centre", size=draft.size * 0.85)

    draft.beside([lambda item=item: one(*item) for item in fields])  # type: ignore[misc]
    draft.gap(rng.choice((0.2, 0.6, 1)))


def _folded(text: str, letters: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > letters and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def accounts(draft: Draft) -> None:
    """A table of accounts with a column for each period; some cells are asked for."""
    rng, hand = draft.rng, draft.hand
    last = hand.today.year
    periods = _periods(rng, last)
    names = rng.sample(hand.world["accounts"], rng.randint(3, 14))
    draft.need(6)
    title = rng.choice(
        ("CONSOLIDATED STATEMENTS OF OPERATIONS", "Balance Sheet", "Selected Financial Data", "Segment results", "")
    )
    if title:
        draft.title(title)
    if hand.chance(0.5):
        draft.put(
            rng.choice(("(In millions, except per share amounts)", "(in thousands)", "(unaudited)", "EUR million")),
            align="centre",
        )
    asked = set(rng.sample([(row, column) for row in range(len(names)) for column in range(len(periods))], 3))
    sign = rng.choice(("$", "", "", "€"))
    rows: list[list[str | Piece]] = []
    for row, name in enumerate(names):
        cells: list[str | Piece] = [name]
        for column, period in enumerate(periods):
            value = (
                f"{sign}{hand.cents(100, 9_000_000):,}" if not hand.chance(0.1) else f"({hand.cents(100, 90_000):,})"
            )
            about = Topic(
                None,
                (f"{name.lower()} in {period}", f"{period} {name.lower()}"),
                (
                    f"How much was {name.lower()} in {period}?",
                    f"What was the {name} for {period}?",
                    f"What did {name.lower()} amount to in {period}?",
                ),
            )
            cells.append(draft.mark(f"cell {row} {column}", value, about) if (row, column) in asked else value)
        rows.append(cells)
    draft.table(["", *periods], rows, [3, *[1.3] * len(periods)], [False, *[True] * len(periods)])
    draft.gap()
    other = rng.choice([name for name in hand.world["accounts"] if name not in names])
    draft.missing.append(
        Topic(None, (f"{other.lower()} in {periods[0]}",), (f"How much was {other.lower()} in {periods[0]}?",))
    )
    draft.missing.append(
        Topic(None, (f"{names[0].lower()} in {last - 7}",), (f"How much was {names[0].lower()} in {last - 7}?",))
    )


def _periods(rng: random.Random, last: int) -> list[str]:
    pattern = rng.choice(("{}", "FY {}", "Q3 {}", "December 31, {}", "{}"))
    return [pattern.format(last - back) for back in range(rng.randint(2, 3))]


def _cheque(rng: random.Random) -> Draft:
    width = rng.choice((900, 1200, 1800)) * rng.uniform(0.9, 1.1)
    size, pitch = width / 60, rng.uniform(0.45, 0.55)
    made = Draft(
        rng,
        rng.choice(("cheque", "check", "document")),
        width,
        1e9,
        size,
        pitch,
        width * 0.04,
        width * 0.96,
        size,
        1.4,
        Hand(rng),
    )
    hand = made.hand
    drawer, caption = hand.person() if hand.chance(0.5) else hand.company(), hand.chance(0.3)

    def owner() -> None:
        about = Topic(None, ("drawer", "account owner"), ("Who wrote the check?", "Who is paying?", "Who issued ~?"))
        made.put([made.mark("drawer", drawer, about)])
        for line in hand.address(2):
            made.put(line)

    def numbers() -> None:
        made.put([made.mark("check_number", hand.number("####"))], align="right")
        day = hand.date(hand.today)
        if caption:
            made.put([made.mark("date", day)], align="right")
            made.put("DATE", align="right", size=size * 0.7)
        else:
            made.put([Piece(rng.choice(("Date ", "DATE: ", "Date: "))), made.mark("date", day)], align="right")

    made.beside((owner, numbers))
    made.gap()
    style = Style("caption" if caption else "inline", rng.choice((" ", ": ", "  ")), hand.chance(0.5), 0.4)
    cents = hand.cents(2000, 900_000)
    with made.styled(style):
        payee = made.mark("payee", hand.person() if hand.chance(0.5) else hand.company())
        total = made.mark("total", f"{rng.choice(('$', '$ ', '**', ''))}{cents / 100:,.2f}")
        made.put([Piece(f"{made.label('payee')} "), payee], advance=False)
        made.put([total], align="right")
    words = f"{rng.choice(_WORDS)} thousand {rng.choice(_WORDS)} hundred {rng.choice(_WORDS)}"
    made.put(
        [
            made.mark("amount_in_words", f"{words.capitalize()} and {cents % 100:02}/100"),
            Piece(rng.choice((" DOLLARS", " Dollars", ""))),
        ]
    )
    made.gap()
    made.put([made.mark("bank", f"{hand.invented()} Bank")])
    if hand.chance(0.5):
        reason = Topic(
            None, ("memo line", "purpose of payment"), ("What is the check for?", "What was the payment for?")
        )
        made.put(
            [
                Piece(rng.choice(("Memo ", "For: ", "FOR "))),
                made.mark("memo", rng.choice(("Rent", "Tuition", "Invoice 4471", "Gift", "Deposit")), reason),
            ]
        )
    made.put(f"⑆{hand.number('#########')}⑆ {hand.number('##########')}⑈")
    made.height = max(width * 0.45, made.y + size)
    made.absent(
        "due_date",
        "tax",
        "subtotal",
        "invoice_number",
        "phone",
        "email",
        "time",
        "iban",
        "expiry_date",
        "cashier",
        "birth_date",
        "change",
    )
    return made
