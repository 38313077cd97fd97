"""Letters: from a firm with a letterhead, or from one person to another firm."""

from datetime import timedelta

from samples.origin import Origin
from samples.ornament import logo, signature, stamp
from samples.paper import GREY, Paper

COUNTRIES = ("US", "GB", "DE", "FR")


def business_letter(origin: Origin) -> Paper:
    """With a letterhead; the sender is a firm."""
    paper, sender = origin.paper(10.5, origin.pick(("times", "helvetica"))), origin.company()
    edge = paper.width - 72
    if origin.chance(0.6):
        logo(paper, origin.rng, 72, 44, 30, origin.colour)
        paper.text(112, 64, sender.name, 15, "B", colour=origin.colour, fields={"sender": sender.name})
        paper.line(72, 84, edge, 84, 1, origin.colour)
    else:
        paper.text(paper.width / 2, 62, sender.name, 17, "B", "centre", origin.colour, fields={"sender": sender.name})
        paper.text(paper.width / 2, 78, " · ".join(sender.address), 8.5, align="centre", colour=GREY)
    foot = "   ".join((*sender.address, sender.phone, sender.web))
    paper.text(paper.width / 2, paper.height - 40, foot, 7.5, align="centre", colour=GREY)
    return _body(paper, origin, 140, origin.person().name, origin.pick(origin.words("letter")["roles"]))


def private_letter(origin: Origin) -> Paper:
    """From one person, the address at the top right, no letterhead."""
    paper, sender = origin.paper(11, origin.pick(("times", "courier", "helvetica"))), origin.person()
    lines = [sender.name, *sender.address, sender.phone]
    paper.text(380, 70, lines[0], fields={"sender": lines[0]})
    paper.block(380, 84, lines[1:])
    return _body(paper, origin, 160, sender.name)


LAYOUTS = (business_letter, business_letter, private_letter)


def _body(paper: Paper, origin: Origin, y: float, signer: str, role: str = "") -> Paper:
    words, recipient = origin.words("letter"), origin.person()
    subject = origin.pick(words["letters"])
    written = origin.day()
    about = origin.date(written - timedelta(days=origin.between(6, 30)))
    left, width = 72.0, paper.width - 144
    later = origin.date(written + timedelta(days=origin.between(14, 60)))
    given = {"date": about, "later": later, "phone": origin.number(origin.region.phone)}
    paper.text(left, y, recipient.name, fields={"recipient": recipient.name})
    y = paper.block(left, y + 14, recipient.address, field="recipient_address")
    date = origin.date(written)
    paper.text(paper.width - left, y + 20, date, align="right", fields={"date": date})
    heading = subject["subject"].format(**given)
    paper.text(left, y + 52, heading, style="B", fields={"subject": heading})
    greeting = words["greeting"].format(title=words["titles"][recipient.sex], family=recipient.family)
    paper.text(left, y + 80, greeting)
    y += 102
    for text in subject["text"]:
        y = paper.paragraph(left, y, width, text.format(**given), leading=1.45) + 9
    paper.text(left, y + 12, origin.pick(words["closing"]))
    signature(paper, origin.rng, left + 4, y + 48, 96)
    paper.text(left, y + 74, signer, fields={"signed_by": signer})
    if role:
        paper.text(left, y + 88, role)
    if origin.chance(0.15):
        stamp(paper, origin.rng, paper.width - 120, 110, ("RECEIVED", origin.date(written + timedelta(days=3))), 11)
    return paper
