"""Official tax forms: the wage statement (W-2), the contractor's statement (1099-NEC), and a British P60."""

from samples.origin import Origin
from samples.paper import LETTER, Paper

COUNTRIES = ("US", "GB")


def tax_form(origin: Origin) -> Paper:
    """By the country's way."""
    if origin.region.code == "GB":
        return _end_of_year_certificate(origin)
    return origin.pick((_wage_statement, _contractor_statement))(origin)


LAYOUTS = (tax_form,)


def _wage_statement(origin: Origin) -> Paper:
    """Form W-2 with its numbered boxes."""
    paper = Paper(LETTER, "helvetica", 10)
    employer, employee, year = origin.company(), origin.person(), origin.between(2018, 2024)
    wages = origin.between(2100000, 14500000)
    number, tax_number = origin.number("###-##-####"), employer.tax_number
    amounts = [wages, round(wages * 0.13), wages, round(wages * 0.062), wages, round(wages * 0.0145)]
    x, wide, narrow, y, row = 40.0, 300.0, 116.0, 60.0, 34.0
    paper.cell(x, y, 90, row, "", "22222")
    paper.cell(x + 90, y, 210, row, "a  Employee's social security number", number, "social_security_number")
    paper.text(x + 310, y + 14, "OMB No. 1545-0008", 7)
    left = (
        ("b  Employer identification number (EIN)", [tax_number], "employer_number", 1),
        ("c  Employer's name, address, and ZIP code", [employer.name], "employer", 2.2),
        ("d  Control number", [origin.number("######")], "", 1),
        ("e  Employee's first name and initial    Last name", [employee.name], "employee", 1),
        ("f  Employee's address and ZIP code", employee.address, "address", 1.8),
    )
    right = (
        ("1  Wages, tips, other compensation", "wages", "2  Federal income tax withheld", "federal_tax"),
        ("3  Social security wages", "", "4  Social security tax withheld", ""),
        ("5  Medicare wages and tips", "", "6  Medicare tax withheld", ""),
        ("7  Social security tips", "", "8  Allocated tips", ""),
        ("9", "", "10  Dependent care benefits", ""),
        ("11  Nonqualified plans", "", "12a  See instructions for box 12", ""),
        ("14  Other", "", "13  Statutory employee    Retirement plan", ""),
    )
    at = y + row
    for label, lines, field, rows in left:
        paper.cell(x, at, wide, row * rows, label)
        low = paper.block(x + 8, at + 22, lines, field=field, face="courier")
        if field == "employer":
            paper.block(x + 8, low, employer.address, face="courier")
        at += row * rows
    printed = [f"{cents / 100:.2f}" for cents in amounts]
    for place, (label, field, other, other_field) in enumerate(right):
        top = y + row * (place + 1)
        first, second = printed[2 * place : 2 * place + 2] if place < 3 else ("", "")
        paper.cell(x + wide, top, narrow, row, label, first, field)
        paper.cell(x + wide + narrow, top, narrow, row, other, second, other_field)
    state, withheld = origin.pick(("OH", "CA", "IL", "NY", "GA")), f"{wages * 0.04 / 100:.2f}"
    bottom = (
        (60, "15  State", state, ""),
        (150, "Employer's state ID number", origin.number("##-#######"), ""),
        (107, "16  State wages, tips, etc.", printed[0], ""),
        (107, "17  State income tax", withheld, "state_tax"),
        (108, "18  Local wages, tips, etc.", "", ""),
    )
    left_edge, top = x, y + row * 8
    for width, label, text, field in bottom:
        paper.cell(left_edge, top, width, row, label, text, field)
        left_edge += width
    top += row + 26
    paper.text(x, top, "Form", 8)
    paper.text(x + 22, top, "W-2", 24, "B")
    paper.text(x + 84, top, "Wage and Tax Statement", 13, "B")
    paper.text(x + 280, top, f"{year}", 24, "B", fields={"tax_year": f"{year}"})
    paper.text(x + 532, top, "Department of the Treasury - Internal Revenue Service", 7, align="right")
    paper.text(x, top + 16, "Copy B - To Be Filed With Employee's FEDERAL Tax Return.", 8, "B")
    paper.text(x, top + 27, "This information is being furnished to the Internal Revenue Service.", 8)
    return paper


def _contractor_statement(origin: Origin) -> Paper:
    """Form 1099-NEC."""
    paper = Paper(LETTER, "helvetica", 10)
    payer, recipient, year = origin.company(), origin.person(), origin.between(2020, 2024)
    paid, number = origin.between(90000, 9800000), origin.number("###-##-####")
    x, y, wide, narrow = 44.0, 70.0, 262.0, 130.0
    paper.rectangle(x, y - 14, x + 12, y - 2, outline=(25, 25, 28))
    paper.text(x + 18, y - 4, "CORRECTED (if checked)", 8)
    paper.cell(x, y, wide, 96, "PAYER'S name, street address, city or town, state, ZIP code, and telephone no.")
    paper.text(x + 8, y + 26, payer.name, 10, face="courier", fields={"payer": payer.name})
    paper.block(x + 8, y + 40, [*payer.address, payer.phone], face="courier")
    paper.cell(x, y + 96, wide / 2, 36, "PAYER'S TIN", payer.tax_number, "payer_number")
    paper.cell(x + wide / 2, y + 96, wide / 2, 36, "RECIPIENT'S TIN", number, "recipient_number")
    paper.cell(x, y + 132, wide, 36, "RECIPIENT'S name", recipient.name, "recipient")
    paper.cell(x, y + 168, wide, 36, "Street address (including apt. no.)", recipient.address[0], "")
    town = recipient.address[1]
    paper.cell(
        x,
        y + 204,
        wide,
        36,
        "City or town, state or province, country, and ZIP or foreign postal code",
        town,
    )
    paper.cell(x, y + 240, wide, 36, "Account number (see instructions)", origin.number("########"), "account")
    right, printed = x + wide, f"{paid / 100:,.2f}"
    paper.cell(right, y, narrow, 60, "OMB No. 1545-0116")
    paper.text(right + 10, y + 26, "Form 1099-NEC", 11, "B")
    paper.text(right + 10, y + 44, f"For calendar year {year}", 8, fields={"tax_year": f"{year}"})
    paper.text(right + narrow + 12, y + 26, "Nonemployee", 13, "B")
    paper.text(right + narrow + 12, y + 42, "Compensation", 13, "B")
    boxes = (
        ("1  Nonemployee compensation", f"$ {printed}", "compensation"),
        ("2  Payer made direct sales totaling $5,000 or more of consumer products", "", ""),
        ("3", "", ""),
        ("4  Federal income tax withheld", f"$ {paid * 0.1 / 100:,.2f}" if origin.chance(0.4) else "", "federal_tax"),
    )
    top = y + 60
    for label, text, field in boxes:
        paper.cell(right, top, narrow * 2, 36, label, text, field if text else "")
        top += 36
    thirds = ("5  State tax withheld", "6  State/Payer's state no.", "7  State income")
    for place, label in enumerate(thirds):
        paper.cell(right + place * narrow * 2 / 3, top, narrow * 2 / 3, 72, label)
    paper.text(x, y + 292, "Form 1099-NEC", 10, "B")
    paper.text(x + 100, y + 292, "(keep for your records)", 8)
    paper.text(
        x + wide + 2 * narrow, y + 292, "Department of the Treasury - Internal Revenue Service", 7, align="right"
    )
    paper.text(x, y + 312, "Copy B For Recipient", 10, "B")
    paper.paragraph(
        x,
        y + 328,
        500,
        "This is important tax information and is being furnished to the IRS. If you are required to file a return, "
        "a negligence penalty or other sanction may be imposed on you if this income is taxable and the IRS "
        "determines that it has not been reported.",
        8,
    )
    return paper


def _end_of_year_certificate(origin: Origin) -> Paper:
    """Form P60."""
    paper = origin.paper(10, "helvetica")
    employer, employee, year = origin.company(), origin.person(), origin.between(2018, 2024)
    pay = origin.between(1400000, 9000000)
    tax, number = round(pay * 0.15), origin.number("@@ ## ## ## @")
    edge = paper.width - 50
    paper.text(50, 66, "P60 End of Year Certificate", 18, "B")
    ended = f"5 April {year}"
    paper.text(50, 86, f"Tax year to {ended}", 11, "B", fields={"tax_year": ended})
    paper.paragraph(
        50,
        110,
        edge - 50,
        "To the employee: please keep this certificate in a safe place as you will need it if you have to fill in a "
        "tax return. You also need it to make a claim for tax credits. By law you are required to tell HM Revenue & "
        "Customs about any income that is not fully taxed.",
        8.5,
    )
    half = (edge - 50) / 2
    paper.text(50, 168, "Employee's details", 11, "B")
    paper.cell(50, 176, half, 34, "Surname", employee.family.upper(), "surname")
    paper.cell(50 + half, 176, half, 34, "Forenames or initials", employee.given.upper(), "given_names")
    paper.cell(50, 210, half, 34, "National Insurance number", number, "national_insurance_number")
    paper.cell(50 + half, 210, half, 34, "Works/payroll number", origin.number("#####"), "employee_number")
    paper.text(50, 276, "Pay and Income Tax details", 11, "B")
    rows = (
        ("In previous employment(s)", "0.00", "0.00", ""),
        ("In this employment", f"{pay / 100:.2f}", f"{tax / 100:.2f}", "p"),
        ("Total for year", f"{pay / 100:.2f}", f"{tax / 100:.2f}", ""),
    )
    for place, (label, earned, deducted, marked) in enumerate(rows):
        top = 284 + place * 32
        paper.text(50, top + 20, label, 9.5)
        paper.cell(220, top, 150, 32, "Pay £ p", earned, "wages" if marked else "")
        paper.cell(370, top, edge - 370, 32, "Tax deducted £ p", deducted, "income_tax" if marked else "")
    code = origin.pick(("1257L", "1250L", "BR", "K120"))
    paper.cell(50, 392, 150, 34, "Final tax code", code, "tax_code")
    paper.text(50, 458, "Employer's full name and address", 11, "B")
    paper.rectangle(50, 466, edge, 540, outline=(25, 25, 28))
    paper.text(58, 484, employer.name, 10, face="courier", fields={"employer": employer.name})
    paper.block(58, 498, employer.address, face="courier")
    reference = origin.number("###/@@#####")
    paper.cell(50, 548, half, 34, "Employer PAYE reference", reference, "employer_number")
    paper.text(
        50, 606, "Certificate by Employer/Paying Office: this form shows your total pay for Income Tax purposes.", 8
    )
    return paper
