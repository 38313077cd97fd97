import pytest

from core.extraction.shape import SHAPE, shape


def looks(text: str) -> dict[str, float]:
    return dict(zip(SHAPE, shape(text), strict=True))


@pytest.mark.parametrize("text", ["Ann Archer", "DR. OWEN CHOUDHURY", "María-José O'Brien", "Archer, Ann"])
def test_names_look_like_people(text: str) -> None:
    assert looks(text)["person"] > 0.5
    assert looks(text)["company"] == 0


@pytest.mark.parametrize(
    "text", ["Harbour Foods Ltd", "Contoso Inc.", "Softwarehaus Meridian GmbH", "Tan Trading Sdn Bhd"]
)
def test_company_forms_look_like_companies(text: str) -> None:
    assert looks(text)["company"] == 1
    assert looks(text)["person"] == 0


@pytest.mark.parametrize(
    "text", ["12 Quay Street\nDunmore 98052", "No 5, Jalan Sagu 18, 81100 Johor", "Hauptstraße 7, 10115 Berlin"]
)
def test_addresses_have_streets_numbers_and_postcodes(text: str) -> None:
    assert looks(text)["address"] > 0.7


def test_an_amount_is_nobody_s_name_or_address() -> None:
    assert looks("$12.00")["person"] == looks("$12.00")["address"] == looks("$12.00")["company"] == 0


@pytest.mark.parametrize("text", ["", " ", "\n", "—"])
def test_next_to_nothing_has_a_shape_too(text: str) -> None:
    assert len(shape(text)) == len(SHAPE)
