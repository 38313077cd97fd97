"""Payslips: earnings beside deductions, or one below the other, and the net pay."""

from datetime import timedelta

from samples.origin import Origin
from samples.ornament import logo
from samples.paper import GREY, WHITE, Paper, columns

COUNTRIES = ("US", "GB", "DE", "FR", "ES")


class _Pay:
    """One month's pay: what was earned, what was kept, what is left; amounts in cents."""

    def __init__(self, origin: Origin) -> None:
        words, american = origin.words("payslip"), origin.region.code == "US"
        self.employer, self.employee = origin.company(), origin.person()
        basic = origin.between(160000, 620000)
        extra = [(name, origin.price(2500, 60000)) for name in words["earnings"][1:] if origin.chance(0.35)]
        self.earnings = [(words["earnings"][0], basic), *extra]
        self.gross = sum(cents for _, cents in self.earnings)
        names = words["deductions_us" if american else "deductions"]
        shares = (0.12, 0.062, 0.0145, 0.04, 0.05, 0.03) if american else (0.13, 0.02, 0.08, 0.09, 0.012, 0.017)
        self.deductions = [
            (name, round(self.gross * share)) for name, share in zip(names, shares, strict=False) if share > 0
        ]
        self.kept = sum(cents for _, cents in self.deductions)
        self.net = self.gross - self.kept
        first = origin.day().replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        self.months = last.month
        spelled = f"{origin.date(first)} - {origin.date(last)}"
        self.period = spelled if american else origin.month(first)
        self.date = origin.date(last)
        self.number = origin.number(origin.pick(("####", "#####", "E-####")))
        self.department = origin.pick(words["departments"])
        self.code = {"GB": "1257L", "DE": origin.pick(("1", "3", "4")), "US": "S-0"}.get(
            origin.region.code, origin.number("###")
        )
        self.title = origin.pick(words["titles"])


def two_columns(origin: Origin) -> Paper:
    """Earnings on the left, deductions on the right, the net pay in a bar."""
    paper, pay, words = origin.paper(9.5), _Pay(origin), origin.words("payslip")
    labels, edge = words["labels"], paper.width - 46
    logo(paper, origin.rng, 46, 40, 26, origin.colour)
    paper.text(80, 54, pay.employer.name, 13, "B", fields={"employer": pay.employer.name})
    paper.text(80, 67, ", ".join(pay.employer.address), 8, colour=GREY)
    paper.text(edge, 58, pay.title, 15, "B", "right", origin.colour)
    paper.rectangle(46, 84, edge, 158, outline=GREY)
    left = ((labels["employee"], pay.employee.name, "employee"), (labels["number"], pay.number, "employee_number"))
    right = ((labels["period"], pay.period, "period"), (labels["date"], pay.date, "date"))
    third = (labels["department"], pay.department, ""), (labels["code"], pay.code, "tax_code")
    paper.pairs(54, 100, (*left, *third), 92)
    paper.pairs(320, 100, (*right, (labels["method"], words["method"], "")), 96)
    half = (edge - 46) / 2 - 6
    heads = columns(words["columns"], (half * 0.42, half * 0.14, half * 0.22, half * 0.22), "lrrr")
    hours = iter((f"{origin.between(120, 173)}", *[""] * 9))
    rows = [
        (name, next(hours), origin.amount(cents), origin.amount(cents * pay.months)) for name, cents in pay.earnings
    ]
    low = paper.table(46, 184, heads, rows, 8, 1.9, origin.pale)
    heads = columns(words["columns_deductions"], (half * 0.54, half * 0.23, half * 0.23), "lrr")
    kept = [(name, origin.amount(cents), origin.amount(cents * pay.months)) for name, cents in pay.deductions]
    low = max(low, paper.table(46 + half + 12, 184, heads, kept, 8, 1.9, origin.pale)) + 16
    gross, total = origin.money(pay.gross), origin.money(pay.kept)
    paper.text(50, low, words["gross"], style="B")
    paper.text(46 + half - 4, low, gross, style="B", align="right", fields={"gross_pay": gross})
    paper.text(46 + half + 16, low, words["total_deductions"], style="B")
    paper.text(edge - 4, low, total, style="B", align="right", fields={"deductions": total})
    paper.rectangle(46, low + 16, edge, low + 44, fill=origin.colour)
    net = origin.money(pay.net)
    paper.text(58, low + 34, words["net"], 12, "B", colour=WHITE)
    paper.text(edge - 12, low + 34, net, 13, "B", "right", WHITE, fields={"net_pay": net})
    paper.text(46, low + 64, f"{words['to_account']} {origin.number('####')}", 8.5)
    paper.paragraph(46, low + 84, edge - 46, words["small"], 7.5, colour=GREY)
    return paper


def one_column(origin: Origin) -> Paper:
    """As an older payroll program prints it: a typewriter's list."""
    paper, pay, words = (
        origin.paper(9.5, origin.pick(("courier", "helvetica"))),
        _Pay(origin),
        origin.words("payslip"),
    )
    labels, edge = words["labels"], paper.width - 70
    paper.text(70, 60, pay.employer.name, 12, "B", fields={"employer": pay.employer.name})
    paper.block(70, 74, pay.employer.address, field="employer_address")
    paper.text(70, 116, pay.title.upper(), 13, "B")
    y = paper.pairs(
        70,
        140,
        (
            (labels["employee"] + ":", pay.employee.name, "employee"),
            (labels["number"] + ":", pay.number, "employee_number"),
            (labels["department"] + ":", pay.department, ""),
            (labels["code"] + ":", pay.code, "tax_code"),
            (labels["period"] + ":", pay.period, "period"),
            (labels["date"] + ":", pay.date, "date"),
        ),
        150,
        style="",
    )
    for heading, rows, name, sum_, field in (
        (words["columns"][0], pay.earnings, words["gross"], pay.gross, "gross_pay"),
        (words["columns_deductions"][0], pay.deductions, words["total_deductions"], pay.kept, "deductions"),
    ):
        y += 16
        paper.text(70, y, heading.upper(), style="B")
        paper.line(70, y + 4, edge, y + 4)
        for label, cents in rows:
            y += 16
            paper.text(70, y, label)
            paper.text(edge, y, origin.amount(cents), align="right")
        y += 20
        printed = origin.money(sum_)
        paper.text(70, y, name, style="B")
        paper.text(edge, y, printed, style="B", align="right", fields={field: printed})
        y += 8
    net = origin.money(pay.net)
    paper.line(70, y + 8, edge, y + 8, 1)
    paper.text(70, y + 26, words["net"].upper(), 12, "B")
    paper.text(edge, y + 26, net, 12, "B", "right", fields={"net_pay": net})
    paper.line(70, y + 34, edge, y + 34, 1)
    paper.paragraph(70, y + 60, edge - 70, words["small"], 8, colour=GREY)
    return paper


LAYOUTS = (two_columns, one_column)
