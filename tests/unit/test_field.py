import pytest

from core.field import LEXICON, Field
from core.understanding import understand


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ("What is the total amount?", "total"),
        ("What is the total tax?", "tax"),
        ("What is the family name of the holder?", "surname"),
        ("What is the name of the patient?", "patient"),
        ("What is the date of birth?", "birth_date"),
        ("What is the invoice number?", "invoice_number"),
        ("What is the passport number?", "passport_number"),
        ("Who is the sales associate?", "cashier"),
        ("Who issued the invoice?", "vendor"),
        ("How much was paid in total?", "total"),
        ("Where is the store located?", "address"),
    ],
)
def test_a_question_means_the_field_that_fits_best(question: str, field: str) -> None:
    asked = LEXICON.fields_asked(understand(question))
    assert field in asked
    assert asked[field] == max(asked.values())


@pytest.mark.parametrize(
    ("label", "field"),
    [
        ("Surname", "surname"),
        ("Tarikh Tamat / Date of Expiry", "expiry_date"),
        ("4b EXP", "expiry_date"),
        ("Sub-Total", "subtotal"),
        ("GST Reg No", "tax_id"),
        ("Factuur datum", "invoice_date"),
        ("GRAND T0TAL:", "total"),
        ("DateofBirth", "birth_date"),
    ],
)
def test_a_printed_label_announces_its_field_whatever_its_language_case_or_spaces(label: str, field: str) -> None:
    labelled = LEXICON.fields_labelled(label)
    assert labelled.get(field) == max(labelled.values())


def test_the_longest_label_wins() -> None:
    assert "total" not in LEXICON.fields_labelled("Sub-Total")


def test_a_sentence_is_hardly_a_label() -> None:
    assert max(LEXICON.fields_labelled("Thank you for your total trust in our company").values(), default=0) < 0.3


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("Total $12.00", "$12.00"),
        ("DOB 01/06/1958", "01/06/1958"),
        ("4dLIC#WDLABCD456DG", "WDLABCD456DG"),
        ("Invoice No INV-3", "INV-3"),
        ("15 SEX M", "M"),
    ],
)
def test_a_line_that_begins_with_a_label_goes_on_with_its_value(line: str, value: str) -> None:
    prefix = LEXICON.label_prefix(line)
    assert prefix is not None
    assert line[prefix[0] :] == value


def test_a_line_without_a_label_has_no_value_to_go_on_with() -> None:
    assert LEXICON.label_prefix("Harbour Cafe") is None
    assert LEXICON.label_prefix("") is None


def test_a_deployment_may_add_labels_and_fields_of_its_own() -> None:
    lexicon = LEXICON.with_fields(
        {
            "total": Field("total", "amount", (), ("zu berappen",)),
            "kiln_batch": Field("kiln_batch", "identifier", ("batch of the kiln",), ("kiln batch",)),
        }
    )
    assert lexicon.fields_labelled("Zu berappen:") == {"total": 1.0}
    assert "total" in lexicon.fields_labelled("Grand Total")
    assert lexicon.fields_asked(understand("Which kiln batch is it?"))["kiln_batch"] == 1
    assert lexicon.digest != LEXICON.digest
