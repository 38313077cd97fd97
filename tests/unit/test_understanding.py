import random

import pytest

from core.question import Claim, Question
from core.understanding import understand

DOCUMENT_TYPE = [
    "What type of document is this?",
    "What kind of document is this",
    "Which type of document is it?",
    "What is this document?",
    "What is this?",
    "Document type?",
    "Classify this document",
    "What am I looking at?",
    "Can you tell me what kind of document this is?",
    "What form is this?",
    "Please identify the document type",
    "What sort of form is this?",
    "What category does this document belong to?",
    "Was für ein Dokument ist das?",
    "Quel type de document est-ce ?",
    "¿Qué tipo de documento es este?",
    "What document is it?",
    "What sort of paperwork is this?",
    "Tell me the type of the document",
    "what doc is this",
    "What is the type of this document?",
    "Identify this document.",
    "What am I seeing here?",
]
COUNTING = [
    ("How many items were bought?", "items bought"),
    ("How many pages does it have?", "pages"),
    ("How many pages are there in this document?", "pages"),
    ("Number of line items?", "line items"),
    ("Count the transactions", "transactions"),
    ("How many shares are outstanding?", "shares outstanding"),
    ("How many guests stayed?", "guests stayed"),
    ("What is the number of pages?", "pages"),
    ("what is the total number of items", "items"),
    ("How many people signed the contract?", "people signed the contract"),
    ("No. of items?", "items"),
    ("item count", "item"),
    ("number of passengers", "passengers"),
    ("How many products are listed on this invoice?", "products"),
    ("How many line items are on the invoice?", "line items"),
    ("Wie viele Artikel wurden gekauft?", "artikel"),
    ("Combien de pages ?", "pages"),
    ("¿Cuántos artículos hay?", "artículos"),
    ("Tell me how many pages there are", "pages"),
    ("hwo many pages", "pages"),
    ("How many people were injured?", "people injured"),
    ("How many deposits were made?", "deposits made"),
    ("How often is Paris mentioned?", "times paris"),
    ('How many times is the word "the" used?', "times the word the used"),
    ("How many signatures are there?", "signatures"),
    ("How many columns does the table have?", "columns"),
    ("How many nights did the guest stay?", "nights stay"),
    ("How many hours were billed?", "hours billed"),
    ("How many units of item A123 were ordered?", "units of item a123 ordered"),
    ("How many rows are in the table", "rows"),
    ("Total number of pages", "pages"),
    ("Can you count the line items?", "line items"),
    ("¿Cuántas páginas tiene el documento?", "páginas"),
]
EXTRACTION = [
    ("What is the invoice number?", "identifier", "invoice number"),
    ("invoice number?", "identifier", "invoice number"),
    ("total", "amount", "total"),
    ("What is the number of the invoice?", "identifier", "invoice number"),
    ("How much was paid?", "amount", "paid"),
    ("How much is the total tax?", "amount", "total tax"),
    ("How much did the milk cost?", "amount", "milk cost"),
    ("What is the total amount due?", "amount", "total amount due"),
    ("What's the due date?", "date", "due date"),
    ("When was the letter written?", "date", "letter written"),
    ("To whom is the letter addressed?", "person", "letter addressed"),
    ("Who is the sales associate?", "person", "sales associate"),
    ("What is the family name of the holder?", "person", "family name of the holder"),
    ("Which country issued this passport?", "country", "country issued"),
    ("Where was the holder born?", "address", "holder born"),
    ("Give me the IBAN", "identifier", "iban"),
    ("Find the due date", "date", "due date"),
    ("Extract vendor name", "organisation", "vendor name"),
    ("Please tell me the total", "amount", "total"),
    ("Can you tell me who signed the contract?", "person", "signed the contract"),
    ("What is the vendor's address?", "address", "vendor's address"),
    ("What is the customer's phone number?", "phone", "customer's phone number"),
    ("What is the VAT rate?", "percent", "vat rate"),
    ("What is the tax id?", "identifier", "tax id"),
    ("What time was the purchase made?", "time", "time purchase made"),
    ("At what time does the flight depart?", "time", "time flight depart"),
    ("Who is the vendor?", "organisation", "vendor"),
    ("Which company issued this invoice?", "organisation", "company issued"),
    ("What is the website?", "url", "website"),
    ("What is the email address of the seller?", "email", "email address of the seller"),
    ("On what date does the license expire?", "date", "date license expire"),
    ("When does the contract expire?", "date", "contract expire"),
    ("What is the date of birth?", "date", "date of birth"),
    ("How old is the patient?", "number", "patient"),
    ("What is the currency?", "text", "currency"),
    ("What payment method was used?", "text", "payment method used"),
    ("What are the payment terms?", "text", "payment terms"),
    ("What is the balance due date?", "date", "balance due date"),
    ("name of the company", "organisation", "name of the company"),
    ("What is the name of the cashier?", "person", "name of the cashier"),
    ("What is the date of the letter?", "date", "letter date"),
    ("date of issue", "date", "date of issue"),
    ("What is the subject of the letter?", "text", "subject of the letter"),
    ("Where is the store located?", "address", "store located"),
    ("What is the ZIP code?", "identifier", "zip code"),
    ("Who is it from?", "person", "from"),
    ("Who wrote this letter?", "person", "wrote"),
    ("What percentage is the tax?", "percent", "percentage tax"),
    ("How much do I owe?", "amount", "owe"),
    ("How much change was given?", "amount", "change given"),
    ("What is the net weight?", "number", "net weight"),
    ("What is the quantity of the first item?", "number", "quantity of the first item"),
    ("What is the title of the report?", "text", "report title"),
    ("Wie lautet die Rechnungsnummer?", "identifier", "rechnungsnummer"),
    ("Quelle est la date de la facture ?", "date", "date de la facture"),
    ("¿Cuál es el importe total?", "amount", "importe total"),
    ("Wie hoch ist der Gesamtbetrag?", "amount", "gesamtbetrag"),
    ("Wann wurde die Rechnung ausgestellt?", "date", "rechnung ausgestellt"),
    ("What is the document number?", "identifier", "document number"),
    ("What is the nationality of the holder?", "country", "nationality of the holder"),
    ("What is the account holder's name?", "person", "account holder's name"),
    ("What is the state of incorporation?", "text", "state of incorporation"),
    ("What is the name of the product?", "text", "name of the product"),
    ("Do you know what the total is?", "amount", "total"),
    ("I would like to know the policy number", "identifier", "policy number"),
    ("State the effective date", "date", "effective date"),
    ("List the parties", "text", "parties"),
    ("The total amount is what?", "amount", "total amount"),
    ("Whose signature is on the contract?", "person", "signature"),
    ("What does the customer owe?", "amount", "customer owe"),
    ("invoice date on the document", "date", "invoice date"),
    ("What is the grand total on this receipt?", "amount", "grand total"),
    ("Could you please find the purchase order number?", "identifier", "purchase order number"),
    ("Who should I contact?", "person", "contact"),
    ("Until when is the passport valid?", "date", "passport valid"),
    ("What day was it issued?", "date", "day issued"),
    ("What was the closing price of the stock?", "amount", "closing price of the stock"),
    ("What is the sex of the holder?", "text", "sex of the holder"),
    ("WHAT IS THE TOTAL", "amount", "total"),
    ("whta is teh totl", "amount", "total"),
    ("invoce numbr", "identifier", "invoice number"),
    ("what is the recipt date", "date", "receipt date"),
    ("wich vendor", "organisation", "vendor"),
    ("What is the name of the landlord and tenant?", "person", "name of the landlord and tenant"),
    ("What is the gross pay for this period?", "amount", "gross pay for this period"),
    ("How much tip did the customer leave?", "amount", "tip customer leave"),
    ("What does the net pay amount to?", "amount", "net pay amount to"),
    ("What is the employee ID?", "identifier", "employee id"),
    ("What is the SSN of the employee?", "identifier", "ssn of the employee"),
    ("Who is the beneficiary?", "person", "beneficiary"),
    ("What state issued the driver license?", "text", "state issued the driver license"),
    ("What is the license class?", "text", "license class"),
    ("What are the restrictions on the license?", "text", "restrictions"),
    ("How tall is the holder?", "number", "holder"),
    ("What is the eye color?", "text", "eye color"),
    ("What is the driver's height?", "number", "driver's height"),
    ("What is the MRZ?", "text", "mrz"),
    ("What's the check number?", "identifier", "check number"),
    ("What is the routing number?", "identifier", "routing number"),
    ("Who is the check made out to?", "person", "check made out to"),
    ("Which airline operates the flight?", "organisation", "airline operates the flight"),
    ("What is the flight number?", "identifier", "flight number"),
    ("What is the seat number?", "identifier", "seat number"),
    ("What is the departure time?", "time", "departure time"),
    ("What gate does it leave from?", "text", "gate leave from"),
    ("What is the rent per month?", "amount", "rent per month"),
    ("How long is the lease?", "text", "lease"),
    ("What is the governing law?", "text", "governing law"),
    ("When does the agreement take effect?", "date", "agreement take effect"),
    ("What is the CIK number?", "identifier", "cik number"),
    ("What is the fiscal year end?", "date", "fiscal year end"),
    ("What is the trading symbol?", "identifier", "trading symbol"),
    ("What was the net income for 2020?", "amount", "net income for 2020"),
    ("Which exchange is the stock listed on?", "text", "exchange stock listed on"),
    ("What is the aggregate market value?", "amount", "aggregate market value"),
    ("Who is the chief executive officer?", "person", "chief executive officer"),
    ("What is the date of the accident?", "date", "date of the accident"),
    ("What type of aircraft was involved?", "text", "aircraft involved"),
    ("Who was the pilot?", "person", "pilot"),
    ("What is the diagnosis?", "text", "diagnosis"),
    ("What is the dosage?", "text", "dosage"),
    ("What is the member ID on the insurance card?", "identifier", "member id"),
    ("What is the group number?", "identifier", "group number"),
    ("What is the copay for a specialist?", "amount", "copay for a specialist"),
    ("What is the patient's date of birth?", "date", "patient's date of birth"),
    ("What is the closing balance?", "amount", "closing balance"),
    ("What is the opening balance on March 1?", "amount", "opening balance on march 1"),
    ("What is the statement period?", "text", "statement period"),
    ("What is the account number?", "identifier", "account number"),
    ("What's the largest withdrawal?", "amount", "largest withdrawal"),
    ("what is the ship to address?", "address", "ship to address"),
    ("Who is the bill to?", "person", "bill to"),
    ("bill to", "person", "bill to"),
    ("What is the PO number", "identifier", "po number"),
    ("vendor", "organisation", "vendor"),
    ("Address", "address", "address"),
    ("date", "date", "date"),
    ("tax", "amount", "tax"),
    ("What is the cashier's name?", "person", "cashier's name"),
    ("What is the store's phone number?", "phone", "store's phone number"),
    ("What was bought?", "text", "bought"),
    ("Which items were purchased?", "text", "items purchased"),
    ("What is the price of the milk?", "amount", "price of the milk"),
    ("What did the coffee cost?", "amount", "coffee cost"),
    ("What is the unit price of the first item?", "amount", "unit price of the first item"),
    ("What is the reference number of this letter?", "identifier", "reference number"),
    ("Who is the letter from?", "person", "letter from"),
    ("What is the letter about?", "text", "letter about"),
    ("What is the fax number?", "phone", "fax number"),
    ("What is the memo's subject?", "text", "memo's subject"),
    ("Why was the letter written?", "text", "letter written"),
    ("What is the experiment's conclusion?", "text", "experiment's conclusion"),
    ("What is the brand name?", "organisation", "brand name"),
    ("Which year is the report for?", "date", "year report for"),
    ("In which city was it signed?", "text", "city signed"),
    ("What's the job title of the sender?", "text", "job title of the sender"),
    ("What's the email?", "email", "email"),
    ("website", "url", "website"),
    ("iban", "identifier", "iban"),
    ("What is the deadline for payment?", "date", "deadline for payment"),
    ("By when must the invoice be paid?", "date", "invoice paid"),
    ("When is payment due?", "date", "payment due"),
    ("When is the payment due date?", "date", "payment due date"),
    ("What is the discount?", "amount", "discount"),
    ("What quantity of steel rods was ordered?", "number", "quantity of steel rods ordered"),
    ("quantity", "number", "quantity"),
    ("Wer ist der Absender?", "person", "absender"),
    ("Quel est le montant total ?", "amount", "montant total"),
    ("Qui est le fournisseur ?", "organisation", "fournisseur"),
    ("¿Quién es el proveedor?", "organisation", "proveedor"),
    ("¿Cuánto es el total?", "amount", "total"),
    ("What percentage tip was added?", "percent", "percentage tip added"),
    ("Name of patient", "person", "name of patient"),
    ("SIGNED BY", "person", "signed by"),
    ("When will the goods be delivered?", "date", "goods delivered"),
    ("What is the delivery date", "date", "delivery date"),
    ("On which day was the purchase made?", "date", "day purchase made"),
    ("What's the time on the receipt?", "time", "time"),
    ("When was John Smith born?", "date", "john smith born"),
    ("Who issued this?", "person", "issued this"),
    ("Whom does the contract bind?", "person", "contract bind"),
    ("What is the maximum amount?", "amount", "maximum amount"),
    ("What's the bank's name?", "organisation", "bank's name"),
    ("What is the customer no.?", "identifier", "customer no"),
    ("Invoice #", "identifier", "invoice #"),
    ("Invoice No", "identifier", "invoice no"),
    ("Order ID?", "identifier", "order id"),
]
VERIFICATION = [
    ("Is it addressed to the IRS?", "person", "addressed to", "equals", "IRS"),
    ("Has the item been delivered?", "text", "", "contains", "delivered"),
    ("Is the interest rate higher than 5%?", "percent", "interest rate", "greater", "5%"),
    ("Was the agreement signed before 2015?", "date", "date signed", "before", "2015"),
    ("Is there a termination clause?", "text", "", "exists", "termination clause"),
    ("Is the total greater than $100?", "amount", "total", "greater", "$100"),
    ("Is the amount due more than 50 euros?", "amount", "amount due", "greater", "50 euros"),
    ("Does the total exceed 1,000?", "amount", "total", "greater", "1,000"),
    ("Was this purchase made in 2023?", "date", "purchase date", "in", "2023"),
    ("Is it dated before March 2020?", "date", "date", "before", "March 2020"),
    ("Does this receipt contain milk?", "text", "", "contains", "milk"),
    ("Is milk on the receipt?", "text", "", "contains", "milk"),
    ("Is there a signature?", "text", "", "exists", "signature"),
    ("Is this an invoice?", "text", "document type", "equals", "invoice"),
    ("Is the vendor Walmart?", "organisation", "vendor", "equals", "Walmart"),
    ("Is the customer John Smith?", "person", "customer", "equals", "John Smith"),
    ("Has the passport expired?", "date", "expiry date", "before", "today"),
    ("Is the passport still valid?", "date", "expiry date", "after", "today"),
    ("Is the document signed?", "text", "", "exists", "signature"),
    ("Was the letter written in March 2020?", "date", "date", "in", "March 2020"),
    ("Was the invoice issued after 1 January 2020?", "date", "issue date", "after", "1 January 2020"),
    ("Is the invoice date before 2020-01-01?", "date", "invoice date", "before", "2020-01-01"),
    ("Is the total $100?", "amount", "total", "equals", "$100"),
    ("Is the total at least 20 dollars?", "amount", "total", "at_least", "20 dollars"),
    ("Is the balance less than 0?", "amount", "balance", "less", "0"),
    ("Are there more than 3 items?", "number", "number of items", "greater", "3"),
    ("Does it have more than 2 pages?", "number", "number of pages", "greater", "2"),
    ("Does the document mention a deposit?", "text", "", "contains", "deposit"),
    ("Is there any mention of insurance?", "text", "", "contains", "insurance"),
    ("Did the customer buy eggs?", "text", "", "contains", "eggs"),
    ("Was it paid by credit card?", "text", "payment method", "equals", "credit card"),
    ("Did they pay in cash?", "text", "payment method", "equals", "cash"),
    ("Was the holder born in Paris?", "address", "holder born in", "equals", "Paris"),
    ("Was the holder born in 1975?", "date", "date of birth", "in", "1975"),
    ("Does the contract contain a confidentiality clause?", "text", "", "contains", "confidentiality clause"),
    ("Is this document a passport?", "text", "document type", "equals", "passport"),
    ("Is this a bank statement?", "text", "document type", "equals", "bank statement"),
    ("Does the passport expire before 2030?", "date", "expiry date", "before", "2030"),
    ("Is the currency USD?", "text", "currency", "equals", "USD"),
    ("Is the total amount equal to 42.50?", "amount", "total amount", "equals", "42.50"),
    ("Is VAT included?", "text", "", "contains", "VAT"),
    ("Was tip included?", "text", "", "contains", "tip"),
    ("Is it signed by John Doe?", "person", "signed by", "equals", "John Doe"),
    ("Can you check if the total is greater than 100?", "amount", "total", "greater", "100"),
    ("Check whether the invoice is dated 2021", "date", "date", "in", "2021"),
    ("Was the letter sent to Mr. Brown?", "person", "letter sent to", "equals", "Mr Brown"),
    ("Is the nationality French?", "country", "nationality", "equals", "French"),
    ("Was the receipt issued on 3 May 2020?", "date", "issue date", "in", "3 May 2020"),
    ("Does the invoice have a purchase order number?", "text", "", "contains", "purchase order number"),
    ("Are there any discounts?", "text", "", "exists", "discounts"),
    ("Is the tax rate 8%?", "percent", "tax rate", "equals", "8%"),
    ("Is the total over $50?", "amount", "total", "greater", "$50"),
    ("Is the invoice overdue?", "date", "due date", "before", "today"),
    ("Gibt es eine Unterschrift?", "text", "", "exists", "Unterschrift"),
    ("Ist das eine Rechnung?", "text", "document type", "equals", "Rechnung"),
    ("Y a-t-il une signature ?", "text", "", "exists", "signature"),
    ('Does the word "urgent" appear?', "text", "", "contains", "urgent"),
    ("Is the applicant married?", "text", "marital status", "equals", "married"),
    ("Is the invoice addressed to Contoso?", "person", "invoice addressed to", "equals", "Contoso"),
    ("Is the invoice number 12345?", "identifier", "invoice number", "equals", "12345"),
    ("Is the seller located in Germany?", "address", "seller located in", "equals", "Germany"),
    ("Was alcohol purchased?", "text", "", "contains", "alcohol"),
    ("Is the due date later than June 2021?", "date", "due date", "after", "June 2021"),
    ("Is the holder female?", "text", "sex", "equals", "female"),
    ("Does this document have a stamp?", "text", "", "exists", "stamp"),
    ("Is it a receipt?", "text", "document type", "equals", "receipt"),
    ("Is there a total?", "text", "", "exists", "total"),
    ("Does this invoice include shipping costs?", "text", "", "contains", "shipping costs"),
    ("is the total below 20", "amount", "total", "less", "20"),
    ("Verify that the total is 55.10", "amount", "total", "equals", "55.10"),
    ("Is the invoice total 100 EUR?", "amount", "invoice total", "equals", "100 EUR"),
    ("Was the contract signed in 2019?", "date", "date signed", "in", "2019"),
    ("Does the bill come to more than £30?", "amount", "total", "greater", "£30"),
    ("Did I spend more than 40 dollars?", "amount", "total", "greater", "40 dollars"),
    ("Isn't the total 40?", "amount", "total", "equals", "40"),
    ("Does the letter mention Paris?", "text", "", "contains", "Paris"),
    ("Is Paris mentioned in the letter?", "text", "", "contains", "Paris"),
    ("Is this a letter or a memo?", "text", "document type", "equals", "letter or a memo"),
    ("Is a discount given?", "text", "", "contains", "discount"),
    ("Is there a discount?", "text", "", "exists", "discount"),
    ("Is the discount more than 10%?", "amount", "discount", "greater", "10%"),
    ("Are there at least two signatures?", "number", "number of signatures", "at_least", "two"),
    ("Is the employee's salary above 50000?", "amount", "employee's salary", "greater", "50000"),
    ("Is Bob the tenant?", "person", "tenant", "equals", "Bob"),
    ("Does the lease allow pets?", "text", "", "contains", "pets"),
    ("Are pets allowed?", "text", "", "contains", "pets"),
    ("Is smoking permitted?", "text", "", "contains", "smoking"),
    ("Is the company incorporated in Delaware?", "address", "company incorporated in", "equals", "Delaware"),
    ("Is the check made out to John Doe?", "person", "check made out to", "equals", "John Doe"),
    ("Was the check signed?", "text", "", "exists", "signature"),
    ("Is the check dated 2020-05-03?", "date", "date", "in", "2020-05-03"),
    ("Is the date of birth 1 May 1980?", "date", "date of birth", "equals", "1 May 1980"),
    ("Is the phone number 555-1234?", "phone", "phone number", "equals", "555-1234"),
    ("Is the total amount between 10 and 20?", "amount", "total amount", "between", "10 and 20"),
    ('Does it say "paid"?', "text", "", "contains", "paid"),
    ("Is it an invoice or a receipt?", "text", "document type", "equals", "invoice or a receipt"),
    ("Is this a government issued ID?", "text", "document type", "equals", "government issued ID"),
    ("Could this be a contract?", "text", "document type", "equals", "contract"),
    ("Find out if the total exceeds 500 USD", "amount", "total", "greater", "500 USD"),
    ("Please verify the invoice is from Acme", "organisation", "invoice from", "equals", "Acme"),
    ("I want to know if there is a signature", "text", "", "exists", "signature"),
    ("does this have tax", "text", "", "contains", "tax"),
    ("Was the amount paid in dollars?", "text", "currency", "equals", "dollars"),
    ("Is the date 3/4/2021?", "date", "date", "equals", "3/4/2021"),
    ("Is the invoice date March 3, 2021?", "date", "invoice date", "equals", "March 3 2021"),
    ("Is the person over 21?", "number", "age", "greater", "21"),
    ("Does the total match $45.60?", "amount", "total", "equals", "$45.60"),
    ("do we owe more than $1,000?", "amount", "total", "greater", "$1,000"),
]
EVERY = (
    [(text, "document_type") for text in DOCUMENT_TYPE]
    + [(text, "counting") for text, _ in COUNTING]
    + [(text, "extraction") for text, *_ in EXTRACTION]
    + [(text, "verification") for text, *_ in VERIFICATION]
)
ENGLISH = [(text, kind) for text, kind in EVERY if text.isascii()]


@pytest.mark.parametrize("text", DOCUMENT_TYPE)
def test_what_the_document_is_is_a_question_of_type(text: str) -> None:
    assert understand(text) == Question(text, "document_type", "text", "document type")


@pytest.mark.parametrize(("text", "subject"), COUNTING)
def test_how_many_is_a_question_of_counting(text: str, subject: str) -> None:
    assert understand(text) == Question(text, "counting", "number", subject)


@pytest.mark.parametrize(("text", "expects", "subject"), EXTRACTION)
def test_anything_else_is_looked_up(text: str, expects: str, subject: str) -> None:
    question = understand(text)
    assert (question.kind, question.expects, question.subject) == ("extraction", expects, subject)
    assert question.claim is None


@pytest.mark.parametrize(("text", "expects", "subject", "relation", "target"), VERIFICATION)
def test_a_claim_is_verified(text: str, expects: str, subject: str, relation: str, target: str) -> None:
    question = understand(text)
    assert question.kind == "verification"
    assert question.claim == Claim(subject, relation, target)  # type: ignore[arg-type]
    assert question.expects == expects


def test_capitals_and_missing_question_marks_change_nothing() -> None:
    for text, kind in EVERY:
        for other in (text.upper(), text.lower(), text.rstrip(" ?."), f"  {text} "):
            assert understand(other).kind == kind, other


def test_politeness_changes_nothing() -> None:
    for text, kind in ENGLISH:
        if text.split()[0].lower() in ("is", "are", "was", "does", "what", "how", "which"):
            assert understand(f"Please, {text}").kind == kind, text


def test_a_slip_keeps_the_kind_of_nearly_all_questions() -> None:
    chance = random.Random(7)
    kept = []
    for text, kind in ENGLISH:
        words = text.split()
        long = [index for index, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
        for index in long:
            place = chance.randrange(len(words[index]) - 1)
            word = words[index]
            swapped = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
            typed = " ".join([*words[:index], swapped, *words[index + 1 :]])
            kept.append((understand(typed).kind == kind, typed))
    lost = [typed for same, typed in kept if not same]
    assert len(lost) <= 0.03 * len(kept), lost


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("whta is teh totl", "total"),
        ("invoce numbr", "invoice number"),
        ("wat is the adress", "address"),
        ("What is teh recipt date?", "receipt date"),
        ("what is the acount number", "account number"),
        ("Waht is the adress of the vender", "address of the vendor"),
    ],
)
def test_field_words_are_corrected(text: str, subject: str) -> None:
    assert understand(text).subject == subject


@pytest.mark.parametrize(
    "word", ["injured", "milk", "Smith", "data", "rice", "butter", "tenants", "Walmart", "Bill", "coffee", "chicken"]
)
def test_what_a_claim_looks_for_is_left_as_it_stands(word: str) -> None:
    claim = understand(f"Does it contain {word}?").claim
    assert claim is not None
    assert claim.target == word


def test_no_text_is_too_odd_to_be_understood() -> None:
    for text in (
        "?",
        "  ",
        "...",
        "123",
        "what",
        "is",
        "is the",
        "how many",
        "does it",
        "€",
        "if",
        "count",
        "x" * 500,
    ):
        assert understand(text).text == text
