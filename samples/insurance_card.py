"""Health insurance cards: member, group and plan, what a visit costs, whom to call."""

from samples.origin import Origin
from samples.ornament import logo
from samples.paper import CARD, GREY, WHITE, Paper

COUNTRIES = ("US",)

_INSURERS = (
    "Harborline Health",
    "BlueRidge Mutual",
    "Evergreen Care Plan",
    "Summit Health Partners",
    "Unity Medical Plan",
)


def member_card(origin: Origin) -> Paper:
    """The front of a plan member's card."""
    paper, insurer, member = Paper(CARD, "helvetica", 7), origin.pick(_INSURERS), origin.person()
    paper.rectangle(0, 0, paper.width, paper.height, fill=(250, 251, 253))
    if origin.chance(0.5):
        paper.rectangle(0, 0, paper.width, 34, fill=origin.colour)
        paper.text(12, 22, insurer, 13, "B", colour=WHITE, fields={"insurer": insurer})
    else:
        logo(paper, origin.rng, 12, 8, 20, origin.colour)
        paper.text(38, 23, insurer, 13, "B", colour=origin.colour, fields={"insurer": insurer})
    plan = origin.pick(("PPO", "HMO", "Choice Plus PPO", "Silver 2500", "EPO Select"))
    number, group = origin.number(origin.pick(("@@@#########", "W#########", "### ## ####"))), origin.number("######")
    since = origin.written(origin.day().replace(day=1), "{m:02}/{d:02}/{y}")
    rows = (
        (12, 50, "Member name", member.name, "member"),
        (12, 72, "Member ID", number, "member_number"),
        (12, 94, "Group no.", group, "group_number"),
        (130, 50, "Plan", plan, "plan"),
        (130, 72, "Effective date", since, "date"),
        (130, 94, "RxBIN / RxPCN", f"{origin.number('######')} / {origin.number('@@@')}", ""),
    )
    for x, y, label, text, field in rows:
        paper.text(x, y, label, 5, colour=GREY)
        paper.text(x, y + 9, text, 8, "B", fields={field: text} if field else None)
    paper.line(12, 109, paper.width - 12, 109, 0.4, GREY)
    visits = ("Office visit", 1500), ("Specialist", 4000), ("Emergency", 25000), ("Urgent care", 7500)
    for place, (label, cents) in enumerate(visits):
        paper.text(12 + place * 56, 118, label, 5, colour=GREY)
        paper.text(12 + place * 56, 126, f"{origin.region.symbol}{cents // 100}", 7, "B")
    paper.text(12, 141, f"Customer service {origin.number(origin.region.phone)}", 5.5)
    paper.text(130, 141, "Dependents: " + origin.pick(("none", "spouse", "2 children")), 5.5)
    return paper


LAYOUTS = (member_card,)
