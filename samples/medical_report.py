"""Medical reports: discharge summaries, findings of an examination, letters of a specialist."""

from samples.origin import Origin
from samples.ornament import logo, signature
from samples.paper import GREY, Paper

COUNTRIES = ("US", "GB", "DE")


def report(origin: Origin) -> Paper:
    """Clinic above, the patient in a box, headed sections, the physician's name."""
    words, patient, doctor = origin.words("medical_report"), origin.person(), origin.person()
    kind, clinic = origin.pick(words["reports"]), origin.pick(words["clinics"])
    paper, labels = origin.paper(10, origin.pick(("helvetica", "times"))), words["labels"]
    left, edge = 60.0, paper.width - 60
    logo(paper, origin.rng, left, 40, 28, origin.colour)
    paper.text(left + 38, 54, clinic, 14, "B", colour=origin.colour, fields={"clinic": clinic})
    head = (
        f"{origin.pick(words['specialities'])}   {', '.join(origin.address())}   {origin.number(origin.region.phone)}"
    )
    paper.text(left + 38, 67, head, 8, colour=GREY)
    paper.text(left, 104, kind["title"], 14, "B")
    number, born, date = origin.number("########"), origin.date(patient.born), origin.date(origin.day())
    name = f"Dr. {doctor.name}"
    paper.rectangle(left, 114, edge, 164, outline=GREY)
    paper.pairs(
        left + 8,
        130,
        ((labels["patient"] + ":", patient.name, "patient"), (labels["born"] + ":", born, "date_of_birth")),
        82,
        9.5,
    )
    paper.text(left + 8, 158, f"{labels['sex']}: {patient.sex}", 9.5)
    paper.pairs(
        left + 240,
        130,
        (
            (labels["number"] + ":", number, "number"),
            (labels["date"] + ":", date, "date"),
            (labels["doctor"] + ":", name, "doctor"),
        ),
        112,
        9.5,
    )
    diagnosis, capitals, y = origin.pick(kind["diagnosis"]), origin.chance(0.5), 192.0
    pressure = f"{origin.between(105, 165)}/{origin.between(60, 98)}"
    for heading, text in kind["sections"]:
        spelled = text.format(diagnosis=diagnosis, pressure=pressure, pulse=origin.between(56, 118))
        answers = {"diagnosis": diagnosis} if diagnosis in spelled else None
        paper.text(left, y, heading.upper() if capitals else heading, style="B")
        y = paper.paragraph(left, y + 14, edge - left, spelled, fields=answers) + 8
    signature(paper, origin.rng, left + 6, y + 40, 90)
    paper.text(left, y + 58, f"{words['signed']} {name}, {date}", 9)
    return paper


LAYOUTS = (report,)
