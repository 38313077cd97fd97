"""Claims to an insurer: what happened, when and where, and what it cost."""

from datetime import timedelta

from samples.origin import Origin
from samples.ornament import logo, signature, stamp
from samples.paper import GREY, INK, Colour, Paper

COUNTRIES = ("US", "GB")

_PEN: Colour = (25, 45, 130)


def claim_form(origin: Origin) -> Paper:
    """A claim form, filled in by the insured."""
    words, person = origin.words("insurance_claim"), origin.person()
    insurer = origin.pick(words["insurers"])
    paper = origin.paper(10, "helvetica")
    left, edge = 46.0, paper.width - 46
    logo(paper, origin.rng, left, 34, 30, origin.colour)
    paper.text(left + 42, 54, insurer, 15, "B", colour=origin.colour, fields={"insurer": insurer})
    paper.text(edge, 46, origin.pick(words["titles"]), 14, "B", "right")
    number, policy = (
        origin.number("CL-########"),
        origin.number(origin.pick(("@@######", "POL-#######", "## ### ####"))),
    )
    happened = origin.day()
    loss, told = origin.date(happened), origin.date(happened + timedelta(days=origin.between(1, 20)))
    kind = origin.pick(tuple(words["losses"]))
    half, y, row = (edge - left) / 2, 84.0, 34.0
    answers = (
        number,
        policy,
        person.name,
        origin.date(person.born),
        ", ".join(person.address),
        person.phone,
        loss,
        origin.pick(origin.region.towns)[0],
    )
    for place, ((label, field), text) in enumerate(zip(words["cells"], answers, strict=True)):
        down, across = divmod(place, 2)
        x, top = left + across * half, y + down * row
        paper.cell(x, top, half, row, label)
        typed = field == "claim_number"
        size = min(11.5, 11.5 * (half - 14) / paper.measure(text, 11.5, "I", "times"))
        look = ("courier", INK, "") if typed else ("times", _PEN, "I")
        paper.text(x + 8, top + 25, text, size, look[2], colour=look[1], face=look[0], fields={field: text})
    y += 4 * row + 22
    paper.text(left, y, "Type of claim", 9, "B")
    x = left + 80
    for name in words["losses"]:
        paper.rectangle(x, y - 8, x + 9, y + 1, outline=INK)
        if name == kind:
            paper.stroke([(x, y - 8), (x + 9, y + 1)], 1.4, _PEN)
            paper.stroke([(x + 9, y - 8), (x, y + 1)], 1.4, _PEN)
        x = paper.text(x + 13, y, name, 8.5) + 18
    y += 24
    paper.text(left, y, "Describe what happened and the damage or injury", 9, "B")
    paper.rectangle(left, y + 6, edge, y + 108, outline=INK, width=0.5)
    paper.face = "times"
    paper.paragraph(left + 8, y + 26, edge - left - 16, origin.pick(words["losses"][kind]), 12, "I", 1.6, _PEN)
    paper.face = "helvetica"
    y += 130
    amount = origin.money(origin.price(12000, 950000))
    paper.cell(left, y, half, row, "Amount claimed", amount, "amount", 12)
    paper.cell(left + half, y, half, row, "Pay to account", origin.iban(), "account")
    y = paper.paragraph(
        left,
        y + row + 20,
        edge - left,
        words["declaration"],
        8.5,
    )
    signature(paper, origin.rng, left + 16, y + 40, 100)
    paper.line(left, y + 48, left + 250, y + 48)
    paper.text(left, y + 57, "Signature of claimant", 7, colour=GREY)
    paper.text(left + 300, y + 44, told, 12, "I", colour=_PEN, face="times", fields={"date": told})
    paper.line(left + 290, y + 48, edge, y + 48)
    paper.text(left + 290, y + 57, "Date", 7, colour=GREY)
    if origin.chance(0.35):
        stamp(paper, origin.rng, edge - 110, y + 110, ("RECEIVED", "CLAIMS DEPT."), 13)
    return paper


LAYOUTS = (claim_form,)
