"""Identity papers, licences, passports, insurance cards and business cards."""

import random
from datetime import date, timedelta
from typing import Final

from samples.composed.draft import Draft, Piece, Style
from samples.composed.values import Hand, plain

_TITLES: Final = {
    "identity card": ("IDENTITY CARD", "NATIONAL ID", "PERMANENT RESIDENT", "RESIDENCE PERMIT", "CARTE D'IDENTITÉ"),
    "driver's license": (
        "DRIVER LICENSE",
        "DRIVING LICENCE",
        "PERMIS DE CONDUIRE",
        "FÜHRERSCHEIN",
        "DRIVER'S LICENCE",
    ),
    "passport": ("PASSPORT", "PASSEPORT / PASSPORT", "REISEPASS", "PASAPORTE", "PASSAPORTO"),
    "insurance card": ("HEALTH PLAN", "Member Identification Card", "HEALTH INSURANCE", "PPO", "Prescription Card"),
    "social security card": ("SOCIAL SECURITY", "THIS NUMBER HAS BEEN ESTABLISHED FOR"),
}
_NUMBERED: Final = {
    "surname": "1",
    "given_names": "2",
    "birth_date": "3",
    "issue_date": "4a",
    "expiry_date": "4b",
    "authority": "4c",
    "licence_number": "4d",
    "holder_address": "8",
    "licence_class": "9",
    "restrictions": "12",
    "sex": "15",
    "height": "16",
    "weight": "17",
    "eyes": "18",
}
_ASKED: Final = (
    *("birth_date", "expiry_date", "issue_date", "sex", "nationality", "birth_place", "height", "weight", "eyes"),
    *("hair", "licence_class", "restrictions", "endorsements", "blood_group", "marital_status", "religion"),
    *(
        "occupation",
        "authority",
        "father_name",
        "mother_name",
        "holder_address",
        "document_number",
        "personal_number",
    ),
    *("phone", "email", "spouse", "member_number", "policy_number", "due_date", "total", "iban", "licence_number"),
)


def draft(rng: random.Random) -> Draft:
    """A card or a passport's data page, alone or on a larger page."""
    width = rng.choice((500, 600, 759, 1000, 1200, 1600, 2000)) * rng.uniform(0.9, 1.1)
    height = width * rng.uniform(0.58, 0.75)
    rows = rng.uniform(13, 24)
    size, pitch = height / rows * 0.62, rng.uniform(0.42, 0.6)
    left = width * rng.choice((0.04, 0.3, 0.36))
    kind = rng.choices((*_TITLES, "business card"), (4, 4, 4, 2, 0.5, 3))[0]
    name = rng.choice((kind, kind, "card" if "card" in kind else kind.split()[-1], "document"))
    made = Draft(rng, name, width, 1e9, size, pitch, left, width * 0.97, size, rng.uniform(1.1, 1.6), Hand(rng))
    if kind == "business card":
        _business(made)
    else:
        _identity(made, kind)
    if rng.random() < 0.3:
        _moved(made, rng.uniform(0, 1.5) * width, rng.uniform(0, 1.5) * height)
    made.height = height
    return made


def _moved(draft: Draft, across: float, down: float) -> None:
    for row in draft.pages[0]:
        row.left += across
        row.top += down


def _identity(draft: Draft, kind: str) -> None:
    rng, hand = draft.rng, draft.hand
    hand.shouts = hand.chance(0.6)
    given, family, _ = hand.person_parts()
    if hand.shouts:
        given, family = given.upper(), family.upper()
    born = hand.today - timedelta(days=rng.randint(6_000, 30_000))
    fields = _fields(draft, kind, given, family, born)
    _title(draft, kind)
    style = Style(
        rng.choices(("below", "inline", "column", "bare"), (5, 4, 1, 0.6))[0],
        rng.choice((": ", " ", "  ", ":", " / ")),
        hand.chance(0.5),
        rng.uniform(0.3, 0.5),
    )
    numbered = kind == "driver's license" and hand.chance(0.6)
    doubled = hand.chance(0.3)
    if style.manner != "bare" and hand.chance(0.85):
        rng.shuffle(fields)
    with draft.styled(style):
        room = draft.right - draft.left
        while fields:
            count = min(rng.choice((1, 1, 2, 3)), len(fields))
            group, fields = fields[:count], fields[count:]
            draft.beside([lambda item=item: _entry(draft, item, numbered, doubled) for item in group], room / count)  # type: ignore[misc]
    for text in rng.sample(hand.world["terms"], rng.choice((0, 0, 1))):
        draft.put(text, size=draft.size * 0.7)
    if kind == "passport" or (kind == "identity card" and hand.chance(0.3)):
        _machine_readable(draft, given, family, born)
    draft.absent(*_ASKED)


def _title(draft: Draft, kind: str) -> None:
    rng, hand = draft.rng, draft.hand
    country = hand.country["country"]
    heads = [rng.choice(_TITLES[kind])]
    if kind == "insurance card":
        draft.put([draft.mark("insurer", hand.company())], size=draft.size * 1.4)
    elif hand.chance(0.8):
        heads.insert(rng.randrange(2), country.upper() if hand.chance(0.7) else country)
    if hand.chance(0.2):
        heads.append(rng.choice(hand.world["institutions"]).format(town=hand.town()))
    for head in heads:
        draft.title(head)


def _entry(draft: Draft, item: tuple[str, str], numbered: bool, doubled: bool) -> None:
    name, value = item
    rng = draft.rng
    label = draft.label(name)
    if numbered and name in _NUMBERED:
        label = (
            _NUMBERED[name]
            + rng.choice((". ", " ", "."))
            + ("" if draft.hand.chance(0.3) else label.lstrip("0123456789abcd. "))
        )
        label = label.strip()
    elif doubled and " / " not in label:
        label += rng.choice((" / ", "/", " ")) + draft.label(name, foreign=rng.choice((0, 1)))
    draft.pair(name, value, label or name)


def _fields(draft: Draft, kind: str, given: str, family: str, born: date) -> list[tuple[str, str]]:
    rng, hand = draft.rng, draft.hand
    issued = hand.day(-3000, -10)
    split = kind == "passport" or hand.chance(0.55)
    names = [("surname", family), ("given_names", given)] if split else [("holder", f"{given} {family}")]
    if not split and hand.chance(0.2):
        names = [("holder", f"{family}, {given}")]
    number = {"passport": "passport_number", "driver's license": "licence_number", "insurance card": "member_number"}
    patterns = (
        "@########",
        "#########",
        "@## ### ###",
        "@@######",
        "###-##-####",
        "#### #### ####",
        "@@ ### ###",
        "########@",
    )
    shares: list[tuple[float, str, str]] = [
        (0.95, number.get(kind, "document_number"), hand.number(rng.choice(patterns))),
        (0.9, "birth_date", hand.date(born)),
        (0.85, "expiry_date", hand.date(issued + timedelta(days=rng.choice((1826, 3652, 2922))))),
    ]
    if kind == "insurance card":
        shares[1:] = [
            (0.7, "group_number", hand.identifier()),
            (0.5, "plan", rng.choice(("Gold PPO", "HMO Basic", "Silver 2500", "Family Plus", "Choice POS II"))),
            (0.3, "rx_bin", hand.number("######")),
            (0.4, "copay", f"${rng.choice((10, 15, 20, 25, 40, 50))}"),
            (0.4, "effective_date", hand.date(issued)),
            (0.4, "phone", hand.phone()),
            (0.3, "doctor", f"Dr. {hand.person()}"),
            (0.3, "birth_date", hand.date(born)),
            (0.2, "policy_number", hand.identifier()),
        ]
    elif kind != "social security card":
        shares += [
            (0.7, "issue_date", hand.date(issued)),
            (0.75, "sex", rng.choice(("M", "F", "M", "F", "Male", "Female", "MALE", "M/M", "F/F"))),
            (0.6 if kind != "driver's license" else 0.1, "nationality", hand.country["nationality"]),
            (0.6 if kind != "driver's license" else 0.2, "birth_place", hand.town()),
            (0.4, "authority", rng.choice(hand.world["institutions"]).format(town=hand.town())),
            (0.2 if kind == "passport" else 0.7, "holder_address", "\n".join(hand.address(2))),
            (0.3, "height", rng.choice(("5'11\"", "5'-04\"", "178 cm", "1,65 m", "1.82 m", "6-01", "170"))),
            (0.15, "personal_number", hand.number("######-####")),
        ]
        if kind == "driver's license":
            shares += [
                (0.8, "licence_class", rng.choice(("A", "B", "C", "D", "CM", "AM/B1/B", "B, BE"))),
                (0.5, "restrictions", rng.choice(("NONE", "B", "CORR LENS", "01"))),
                (0.4, "endorsements", rng.choice(("NONE", "M", "P", "H"))),
                (0.5, "weight", rng.choice(("185 lb", "160 lbs", "70 kg", "145"))),
                (0.5, "eyes", rng.choice(("BRO", "BLU", "GRN", "HAZ", "BROWN"))),
                (0.2, "hair", rng.choice(("BLK", "BRN", "BLN"))),
            ]
        if kind == "identity card":
            shares += [
                (0.2, "blood_group", rng.choice(("A", "B+", "O", "AB-", "O+"))),
                (0.2, "marital_status", rng.choice(("MARRIED", "KAWIN", "Single", "BELUM KAWIN"))),
                (0.15, "religion", rng.choice(("ISLAM", "KATHOLIK", "HINDU", "BUDDHA"))),
                (0.2, "occupation", hand.pick(hand.world["roles"])),
                (0.2, "father_name", hand.person()),
                (0.1, "mother_name", hand.person()),
            ]
    return names + [(name, value) for share, name, value in shares if hand.chance(share)]


def _machine_readable(draft: Draft, given: str, family: str, born: date) -> None:
    hand, code = draft.hand, draft.hand.country["code"]
    name = "<<".join("<".join(plain(part).upper().replace("-", " ").split()) for part in (family, given))
    draft.gap(1)
    draft.put(f"P<{code}{name}".ljust(44, "<")[:44], left=draft.width * 0.03)
    draft.put(
        hand.number(f"@########{code}") + f"{born:%y%m%d}#M".replace("#", "4") + hand.number("########") + "<" * 15,
        left=draft.width * 0.03,
    )


def _business(draft: Draft) -> None:
    """Nothing but the facts, mostly without labels."""
    rng, hand = draft.rng, draft.hand
    name, firm = hand.person(), hand.company()
    domain = hand.domain(firm)
    draft.left = draft.width * rng.choice((0.05, 0.3, 0.5))
    align = rng.choice(("left", "left", "centre", "right"))
    labelled = hand.chance(0.5)
    person = [("holder", name, rng.choice((1.2, 1.6, 2)))]
    if hand.chance(0.8):
        person.append(("job_title", hand.pick(hand.world["roles"]), 1))
    if hand.chance(0.2):
        person.append(("department", rng.choice(("Sales", "Legal", "Cloud & AI", "Research", "Export")), 1))
    company = [("company", firm, rng.choice((1, 1.4, 1.8)))]
    reach: list[tuple[str, str, float]] = [
        (name, value, 1)
        for share, name, value in (
            (0.7, "phone", hand.phone()),
            (0.5, "mobile", hand.phone()),
            (0.3, "fax", hand.phone()),
            (0.8, "email", hand.email(name, domain)),
            (0.6, "website", hand.web(firm)),
        )
        if hand.chance(share) and (labelled or name not in {"mobile", "fax"})
    ]
    rng.shuffle(reach)
    if hand.chance(0.75):
        reach.insert(rng.choice((0, len(reach))), ("address", "\n".join(hand.address(3)), 1))
    parts = [company, person, reach]
    if hand.chance(0.5):
        parts[0], parts[1] = parts[1], parts[0]
    for part in parts:
        for field, value, larger in part:
            label = (
                f"{draft.label(field)}{rng.choice((': ', ' ', '. '))}"
                if labelled and part is reach and field != "address"
                else ""
            )
            for line in value.split("\n"):
                draft.put(
                    [Piece(label), draft.mark(field, line)] if label else [draft.mark(field, line)],
                    align=align,
                    size=draft.size * larger,
                )
        draft.gap(rng.choice((0, 1, 2)))
    if hand.chance(0.2):
        draft.put(rng.choice(hand.world["slogans"]), align=align)
    draft.absent(
        "phone",
        "mobile",
        "fax",
        "email",
        "website",
        "address",
        "job_title",
        "department",
        "birth_date",
        "iban",
        "tax_id",
        "date",
    )
