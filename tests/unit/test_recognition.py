import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from printed import RECEIPT, picture

from core.page import Page
from core.picture import Raster
from core.recognition import Recognizer


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer()


def read(recognizer: Recognizer, image: Image.Image) -> Page:
    return recognizer.page(1, Raster(np.asarray(image.convert("RGB")), image.width, image.height))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_page_is_read_upright_whichever_way_it_lies(recognizer: Recognizer, degrees: int) -> None:
    upright = picture()
    page = read(recognizer, upright.rotate(degrees, expand=True))
    assert (page.width, page.height) == upright.size
    assert page.turns == -degrees // 90 % 4
    assert [line.text.replace(" ", "")[:6] for line in page.lines] == [line.replace(" ", "")[:6] for line in RECEIPT]
    for row, line in enumerate(page.lines):
        assert abs(line.box[0] - 40) < 15
        assert abs((line.box[1] + line.box[3]) / 2 - (60 + 80 * row)) < 20


def test_a_short_line_on_its_side_is_read_beside_many_longer_ones(recognizer: Recognizer) -> None:
    image = Image.new("RGB", (1000, 1400), "white")
    image.paste(picture(RECEIPT * 4, size=(800, 1350)), (200, 50))
    margin = picture(["Ticket 4071, paid"], size=(260, 60), text_height=20)
    image.paste(margin.rotate(90, expand=True), (20, 300))
    page = read(recognizer, image)
    assert page.turns == 0
    assert [line.text for line in page.lines if line.box[2] < 200] == ["Ticket 4071, paid"]


@pytest.mark.parametrize("text_height", [20, 21, 26])
def test_a_long_line_is_not_turned_over_for_what_is_said_of_it_alone(
    recognizer: Recognizer, text_height: int
) -> None:
    # Of this one the direction model says that it stands on its head.
    sentence = (
        "A person (including a financial institution, a governmental unit, and a cooperative housing corporation)"
    )
    image = picture(RECEIPT * 3, size=(1800, 1200))
    ImageDraw.Draw(image).text((40, 1100), sentence, "black", ImageFont.load_default(text_height))
    assert read(recognizer, image).lines[-1].text.startswith("A person (including a financial institution")


def test_boxes_are_in_pixels_of_the_page_as_it_was_before_it_was_scaled(recognizer: Recognizer) -> None:
    small = picture()
    page = recognizer.page(1, Raster(np.asarray(small), small.width * 10, small.height * 10))
    assert (page.width, page.height) == (6400, 4200)
    assert 350 < page.lines[0].box[0] < 550


def test_lines_side_by_side_are_read_from_left_to_right(recognizer: Recognizer) -> None:
    image = Image.new("RGB", (1200, 420), "white")
    image.paste(picture(["Quantity", "Invoice"]), (0, 4))
    image.paste(picture(["Amount", "Number"]), (600, 0))
    assert [line.text for line in read(recognizer, image).lines] == ["Quantity", "Amount", "Invoice", "Number"]


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (1500, 40), (40, 1500), (1000, 1400)])
@pytest.mark.parametrize("colour", ["white", "black", "#c08040"])
def test_a_page_of_one_colour_is_blank(recognizer: Recognizer, size: tuple[int, int], colour: str) -> None:
    page = read(recognizer, Image.new("RGB", size, colour))
    assert (page.source, page.lines, page.width, page.height) == ("blank", (), *size)


def test_a_page_of_pale_noise_is_blank(recognizer: Recognizer) -> None:
    noise = np.random.default_rng(0).integers(225, 255, (600, 400), dtype=np.uint8)
    assert read(recognizer, Image.fromarray(noise)).source == "blank"


@pytest.mark.parametrize("size", [(2000, 90), (90, 2000)])
def test_a_long_strip_is_read_without_becoming_enormous(recognizer: Recognizer, size: tuple[int, int]) -> None:
    strip = picture(["Ticket number forty"], size=(max(size), min(size)), text_height=30)
    turned = strip if size[0] > size[1] else strip.rotate(90, expand=True)
    assert "Ticket" in read(recognizer, turned).text


def test_small_print_on_a_small_picture_is_found(recognizer: Recognizer) -> None:
    image = picture(["Corner Bakery", "Total 3.40"], size=(160, 80), text_height=13)
    assert "Bakery" in read(recognizer, image).text
