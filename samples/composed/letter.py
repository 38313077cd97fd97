"""Letters and memos."""

import random
from typing import Final

from samples.composed.bill import sheet
from samples.composed.draft import Draft, Piece
from samples.composed.facts import Telling
from samples.composed.question import Topic, topic

_WRITER: Final = topic("sender").forms
_HOUSE: Final = Topic(
    None,
    ("sender's company", "organisation of the sender", "letterhead"),
    ("Which organisation sent ~?", "From which company is ~?", "For whom does the writer work?"),
)


def draft(rng: random.Random) -> Draft:
    """One page from somebody to somebody."""
    memo = rng.random() < 0.3
    made = sheet(rng, "memo" if memo else "letter", (60, 95))
    made.document = rng.choice((made.document, made.document, "document", "message"))
    if made.hand.chance(0.6):
        made.hand.language = "en"
    if memo:
        _memo(made)
    else:
        _letter(made)
    made.absent(
        *("letter_date", "subject", "recipient", "signer", "email", "fax", "website", "due_date", "invoice_number"),
        *("total", "birth_date", "iban", "policy_number", "account_number", "tax_id", "expiry_date", "employer"),
    )
    return made


def _body(draft: Draft) -> None:
    telling = Telling(draft, "letter")
    for _ in range(draft.rng.randint(1, 3)):
        draft.paragraph(telling.paragraph(draft.rng.randint(1, 2)))
        draft.gap(draft.rng.choice((0.5, 1)))
    telling.ask_in_vain()


def _date(draft: Draft) -> Piece:
    hand = draft.hand
    day = hand.long_date(hand.today) if hand.chance(0.6) else hand.date(hand.today)
    return draft.mark("letter_date", day)


def _memo(draft: Draft) -> None:
    rng, hand = draft.rng, draft.hand
    if hand.chance(0.5):
        draft.put(hand.organisation(), align=rng.choice(("left", "centre")))
    draft.title(rng.choice(("MEMORANDUM", "MEMO", "Interoffice Memo", "Internal note", "INTEROFFICE CORRESPONDENCE")))
    rows = [
        ("recipient", rng.choice((hand.person(), f"{hand.person()}, {hand.pick(hand.world['roles'])}", "All staff")))
    ]
    rows += [
        ("sender", hand.person()),
        ("letter_date", hand.date(hand.today)),
        ("subject", hand.pick(hand.world["subjects"])),
    ]
    if hand.chance(0.4):
        rows.append(("reference", hand.identifier()))
    if hand.chance(0.4):
        rng.shuffle(rows)
    style = draft.new_style()
    with draft.styled(style):
        draft.pairs(rows, rng.choice((1, 1, 1, 2)))
    if hand.chance(0.3):
        draft.put(f"cc: {hand.person()}")
    draft.gap(rng.choice((1, 2)))
    _body(draft)


def _letter(draft: Draft) -> None:
    rng, hand = draft.rng, draft.hand
    signer, house = hand.person(), hand.organisation()
    written = Topic("sender", (*topic("sender").nouns, *topic("signer").nouns), (*_WRITER, *topic("signer").forms))

    def letterhead() -> None:
        align = rng.choice(("left", "centre", "right"))
        if private:
            draft.put([draft.mark("letter writer", signer, written)], align=align)
        else:
            draft.put(
                [draft.mark("letter house", house, _HOUSE)], align=align, size=draft.size * rng.choice((1, 1.4, 2))
            )
        about = Topic(
            None, ("sender's address", "return address"), ("Where does ~ come from?", "Where is the sender located?")
        )
        for line in hand.address():
            draft.put([draft.mark("letter from", line, about)], align=align)
        for share, name, value in (
            (0.5, "phone", hand.phone()),
            (0.4, "email", hand.email(signer, hand.domain(house))),
        ):
            if hand.chance(share):
                draft.put([Piece(f"{draft.label(name)}: "), draft.mark(name, value)], align=align)
        draft.gap()

    def recipient() -> None:
        draft.put([draft.mark("recipient", addressee)])
        if hand.chance(0.3):
            draft.put(hand.company())
        about = Topic(
            None,
            ("recipient's address", "address of the recipient"),
            ("Where was ~ sent to?", "Where does the recipient live?"),
        )
        for line in hand.address():
            draft.put([draft.mark("letter to", line, about)])
        draft.gap()

    def dated() -> None:
        place = (
            f"{hand.town()}, " if hand.chance(0.2) else f"{draft.label('letter_date')}: " if hand.chance(0.25) else ""
        )
        draft.put([Piece(place), _date(draft)], align=rng.choice(("left", "right", "left")))
        draft.gap(0.5)

    private, addressee = hand.chance(0.3), hand.person()
    parts = [letterhead, dated, recipient]
    rng.shuffle(parts)
    if hand.chance(0.25):
        draft.beside(parts[:2])
        parts = parts[2:]
    for part in parts:
        part()
    if hand.chance(0.7):
        label = rng.choice(("Re: ", "Subject: ", "", "RE: ", "Betreff: ", "Objet : "))
        draft.put([Piece(label), draft.mark("subject", hand.pick(hand.world["subjects"]))])
        draft.gap()
    draft.put(hand.pick(hand.world["titles_of_letters"]).format(addressee) + rng.choice((",", ":", "")))
    draft.gap(0.5)
    _body(draft)
    draft.need(6)
    draft.put(hand.pick(hand.world["closings"]) + rng.choice((",", "")))
    draft.gap(rng.choice((1, 3)))
    draft.put([Piece(signer)] if private else [draft.mark("signer", signer, written)])
    if hand.chance(0.5):
        about = Topic(
            "job_title",
            ("writer's position", "job title of the signer", "position of the sender"),
            ("What is the signer's job?",),
        )
        draft.put([draft.mark("job_title", hand.pick(hand.world["roles"]), about)])
