"""Forms: fields of persons and things, and boxes that no lexicon knows."""

import random
import string
from collections.abc import Callable
from typing import Final

from samples.composed.bill import sheet
from samples.composed.draft import Draft, Piece
from samples.composed.question import Topic
from samples.composed.values import Hand

_TITLES: Final = (
    "APPLICATION FORM",
    "Patient Intake Form",
    "Claim Form",
    "REGISTRATION",
    "Request for Access",
    "Homeowners Insurance Application",
    "Antrag",
    "FORM {}",
    "Inspection Record",
    "Certificate of {}",
    "Loan Application",
    "Visitor Log",
    "Work Order",
    "{} Permit",
    "Statement of {}",
    "Declaration",
    "Vessel Report",
    "Shipment Record",
    "Equipment Card",
)
_SECTIONS: Final = (
    "Section {}",
    "{}. Personal information",
    "PART {}",
    "Applicant",
    "Details",
    "For office use only",
    "{}. Employment",
    "Coverage",
    "Contact information",
    "Medical history",
    "Declaration",
    "Equipment",
    "Site data",
)
_FIRST: Final = (
    *("Berth", "Kiln", "Ballast", "Orchard", "Loom", "Turbine", "Cohort", "Silo", "Hangar", "Ledger"),
    *("Harvest", "Vat", "Spindle", "Quarry", "Beacon", "Clutch", "Reactor", "Gasket", "Pallet", "Herd"),
    *("Tannery", "Nozzle", "Ferry", "Signal", "Trench", "Archive", "Parcel", "Roster", "Canopy", "Furnace"),
    *("Rudder", "Pigment", "Moisture", "Tenant", "Shift", "Sample", "Batch", "Vessel", "Route", "Crew"),
    *("Dock", "Panel", "Filter", "Boiler", "Lens", "Anchor", "Cable", "Gate", "Well", "Tank"),
    *("Crop", "Seed", "Wagon", "Tunnel", "Bridge", "Court", "Jury", "Choir", "Team", "Bed"),
    *("Ward", "Lab", "Slide", "Probe", "Sensor", "Meter", "Valve", "Pump", "Motor", "Hull"),
    *("Deck", "Cabin", "Licence", "Grant", "Fund", "Scheme"),
)
_LAST: Final = {
    "identifier": (
        "allocation code",
        "batch",
        "serial no.",
        "lot number",
        "tag",
        "index",
        "register entry",
        "key",
        "code",
        "barcode",
    ),
    "person": ("supervisor", "inspector", "owner", "keeper", "officer in charge", "operator", "witness", "trustee"),
    "date": ("inspection date", "start", "last serviced", "opened on", "closing day", "renewal date", "test date"),
    "amount": ("deposit", "fee", "value", "surcharge", "budget", "estimate", "levy"),
    "integer": ("count", "capacity", "units", "population", "cycles"),
    "measure": ("length", "weight", "temperature", "depth", "pressure", "reach", "output"),
    "percent": ("yield", "humidity", "share", "loss rate", "purity"),
    "place": ("location", "station", "home port", "site", "district"),
    "organisation": ("supplier", "maker", "contractor", "sponsor", "agency"),
    "colour": ("colour", "shade"),
    "duration": ("term", "warranty period", "waiting time", "lifetime"),
    "time": ("closing time", "departure", "curfew"),
    "yes_no": ("approved", "insured", "sealed", "in use"),
    "role": ("contact's role", "grade"),
    "word": ("type", "variety", "model", "brand"),
}
_KNOWN: Final = (
    "holder",
    "surname",
    "given_names",
    "birth_date",
    "sex",
    "holder_address",
    "phone",
    "email",
    "occupation",
    "employer",
    "marital_status",
    "nationality",
    "birth_place",
    "spouse",
    "emergency_contact",
    "policy_number",
    "claim_number",
    "case_number",
    "date",
    "school",
    "doctor",
    "insurer",
    "patient",
    "account_number",
    "bank",
    "personal_number",
    "job_title",
    "effective_date",
    "expiry_date",
    "reference",
    "department",
    "diagnosis",
    "admission_date",
    "mobile",
    "height",
    "weight",
    "contact",
    "group_number",
    "member_number",
    "total",
    "signer",
)

_VALUES: Final = {
    "holder_address": "address",
    "phone": "phone",
    "mobile": "phone",
    "email": "email",
    "occupation": "role",
    "job_title": "role",
    "nationality": "country",
    "birth_place": "place",
    "total": "price",
}
"""Kinds of values of fields."""


def draft(rng: random.Random) -> Draft:
    """One to three pages of fields in sections."""
    made = sheet(rng, "form", (55, 110))
    made.document = rng.choice(("form", "form", "application", "document", "page", "record"))
    hand = made.hand
    titles = [rng.choice(_TITLES).format(rng.choice((hand.identifier(), hand.invented())))]
    if hand.chance(0.5):
        titles.insert(0, hand.organisation())
    for title in titles:
        made.title(title)
    if hand.chance(0.3):
        made.paragraph([Piece(" ".join(rng.sample(hand.world["terms"], 2)))])
    fields = fields_of(made, rng.randint(3, 18))
    odd = [invented(made) for _ in range(rng.choice((0, 2, 4, 8)))]
    for section in range(1, rng.randint(2, 5)):
        _section(made, section, fields, odd)
    _section(made, 9, fields, odd, everything=True)
    for text in rng.sample(hand.world["terms"], rng.choice((0, 1, 3))):
        made.need(1)
        made.paragraph([Piece(text)])
    taken = {about.nouns[0] for about in made.topics.values()}
    for _ in range(3):
        _, label, about = invented_label(made)
        if about.nouns[0] not in taken and label:
            made.missing.append(about)
    made.absent(*rng.sample(_KNOWN, 20), "due_date", "iban", "tax_id", "fax")
    return made


def fields_of(draft: Draft, count: int) -> list[tuple[str, str]]:
    """Fields of a person, with their values."""
    rng, hand = draft.rng, draft.hand
    chosen = set(rng.sample(_KNOWN, min(count, len(_KNOWN))))
    if chosen & {"surname", "given_names"}:
        chosen -= {"holder", "patient"}
    if "patient" in chosen:
        chosen -= {"holder"}
    names = sorted(chosen)
    rng.shuffle(names)
    return [(name, value_of(hand, name)) for name in names]


def value_of(hand: Hand, name: str) -> str:
    """A value for a field of a form."""
    rng = hand.rng
    if name in {"holder", "patient", "spouse", "emergency_contact", "doctor", "contact", "signer"}:
        return ("Dr. " if name == "doctor" and hand.chance(0.5) else "") + hand.person()
    if name.endswith("date"):
        return hand.date(hand.day(-20_000, -4000) if name == "birth_date" else hand.day(-500, 500))
    texts = {
        "sex": ("M", "F", "Male", "Female"),
        "marital_status": ("Single", "Married", "Divorced", "M", "S", "widowed"),
        "department": ("Sales", "Surgery", "Outpatients", "Claims", "R&D", "Ward 7"),
        "diagnosis": (
            "Hypertension",
            "Fracture of the left wrist",
            "Type 2 diabetes",
            "Asthma",
            "Acute bronchitis",
            "Migraine",
        ),
        "height": ("172 cm", "5'10\"", "1.68 m"),
        "weight": ("74 kg", "160 lb", "81"),
    }
    if name in texts:
        return rng.choice(texts[name])
    others: dict[str, Callable[[], str]] = {
        "surname": lambda: hand.person_parts()[1],
        "given_names": lambda: hand.person_parts()[0],
        "employer": hand.company,
        "insurer": hand.company,
        "school": lambda: rng.choice(("University of {}", "{} High School", "TU {}")).format(hand.town()),
        "bank": lambda: f"{hand.invented()} Bank",
    }
    if name in _VALUES:
        return hand.of_kind(_VALUES[name])
    return others.get(name, hand.identifier)()


def invented_label(draft: Draft) -> tuple[str, str, Topic]:
    """A value's kind, a made-up label for it, and how to ask for that."""
    rng = draft.rng
    kind = rng.choice(list(_LAST))
    first = rng.choice(_FIRST) if rng.random() < 0.8 else draft.hand.invented()
    label = f"{first} {rng.choice(_LAST[kind])}"
    forms = {
        "person": (f"Who is the {label}?",),
        "amount": (f"How much is the {label}?",),
        "integer": (f"How big is the {label}?",),
        "place": (f"Where is the {label}?",),
        "duration": (f"How long is the {label}?",),
        "organisation": (f"Which company is the {label}?",),
    }
    return kind, label, Topic(None, (label, label.lower()), forms.get(kind, ()))


def invented(draft: Draft) -> tuple[str, str, str, Topic]:
    """A box that no lexicon knows: mark, label, value, topic."""
    kind, label, about = invented_label(draft)
    value = draft.hand.date(draft.hand.day(-400, 400)) if kind == "date" else draft.hand.of_kind(kind)
    printed = draft.rng.choice((label, label.upper(), string.capwords(label), label))
    return f"box {label.lower()}", printed, value, about


def _section(
    draft: Draft,
    number: int,
    fields: list[tuple[str, str]],
    odd: list[tuple[str, str, str, Topic]],
    everything: bool = False,
) -> None:
    """Some of the fields, taken from the lists, in a layout of its own."""
    rng, hand = draft.rng, draft.hand
    draft.need(6)
    if hand.chance(0.6):
        draft.title(rng.choice(_SECTIONS).format(number), "left")
    draft.style = draft.new_style()
    columns = rng.choice((1, 1, 2, 2, 3, 4))
    count = len(fields) if everything else rng.randint(0, len(fields))
    here, fields[:] = fields[:count], fields[count:]
    if hand.chance(0.15) and here:
        _headed(draft, here)
    else:
        draft.pairs(here, columns)
    strange = len(odd) if everything else rng.randint(0, len(odd))
    for mark, label, value, about in [odd.pop() for _ in range(strange)]:
        if mark not in draft.topics:
            draft.need(3)
            draft.pair(mark, value, label, about)
    draft.gap(rng.choice((0.5, 1, 2)))


def _headed(draft: Draft, fields: list[tuple[str, str]]) -> None:
    """Labels as a table's header, values in the row below."""
    for start in range(0, len(fields), 4):
        group = fields[start : start + 4]
        draft.need(3)
        draft.table(
            [draft.label(name)[:22] for name, _ in group],
            [[draft.mark(name, value[:26].strip()) for name, value in group]],
            [1] * len(group),
            [False] * len(group),
        )
