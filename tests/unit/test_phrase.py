import pytest

from core.phrase import Phrase


@pytest.mark.parametrize(
    ("phrase", "text", "times"),
    [
        ("milk", "2 x WHOLE MILK 3.40", 1),
        ("egg", "Eggs, 12 pcs; one egg", 2),
        ("eggs", "EGG 1.20", 1),
        ("ham", "Birmingham", 0),
        ("café", "CAFE CREME", 1),
        ("confidentiality", "Confidentlality clause", 1),
        ("credit card", "paid by credit  card", 1),
        ("credit card", "card credit", 0),
        ("purchase order", "PURCHASEORDER 12", 1),
        ("12345", "12346", 0),
        ("", "anything", 0),
    ],
)
def test_a_phrase_is_found_as_whole_words(phrase: str, text: str, times: int) -> None:
    assert Phrase(phrase).times_in(text) == times
