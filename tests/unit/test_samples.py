import io
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pillow_heif
import pypdfium2
import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

import samples
from core.class_set import ClassSet
from samples import CLASSES, Sample, file_format, render, wear
from samples.case import DemoDocument, demo_documents
from samples.origin import Origin
from samples.paper import Paper
from samples.passport import check_digit

Box = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> list[DemoDocument]:
    return demo_documents(tmp_path_factory.mktemp("case"), 1)


def ink(image: Image.Image, box: Box) -> float:
    """How far the darkest and the lightest pixel in a box are apart, in grey levels."""
    crop = image.convert("L").crop(tuple(round(edge) for edge in box))
    low, high = crop.getextrema()
    return float(high) - float(low)


def test_every_class_is_one_of_the_default_set() -> None:
    intake = ClassSet.from_yaml(Path("configs/classes/intake.yaml"))
    assert set(CLASSES) <= set(intake.names)


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(KeyError, match="menu"):
        render("menu", 1)


def test_the_same_seed_gives_the_same_document() -> None:
    first, again, other = render("invoice", 7), render("invoice", 7), render("invoice", 8)
    assert first.pdf == again.pdf
    assert first.fields == again.fields
    assert first.images[0].tobytes() == again.images[0].tobytes()
    assert first.fields != other.fields


@pytest.mark.parametrize("class_name", CLASSES)
def test_every_field_stands_where_the_sample_says(class_name: str) -> None:
    for seed in range(12):
        sample = render(class_name, seed, dpi=72)
        assert len(sample.fields) >= 3
        for name, field in sample.fields.items():
            assert field.text.strip() == field.text, name
            page = sample.pages[field.page - 1]
            left, top, right, bottom = field.box
            assert 0 <= left < right <= page.width + 1, (seed, name, field)
            assert 0 <= top < bottom <= page.height + 1, (seed, name, field)
            assert ink(sample.images[field.page - 1], field.box) > 60, (seed, name)
            read = " ".join(page.text.split())
            assert all(line in read for line in field.text.split("\n")), (seed, name)


@pytest.mark.parametrize("class_name", CLASSES)
def test_the_pdf_says_at_each_field_what_the_field_says(class_name: str) -> None:
    sample = render(class_name, 3, dpi=72)
    document = pypdfium2.PdfDocument(sample.pdf)
    try:
        assert len(document) == len(sample.images)
        for field in sample.fields.values():
            page = document[field.page - 1]
            left, top, right, bottom = field.box
            height = page.get_height()
            there = page.get_textpage().get_text_bounded(left - 2, height - bottom - 2, right + 2, height - top + 2)
            assert field.text.split()[0] in there
    finally:
        document.close()


def test_all_that_is_printed_can_be_printed_in_every_country() -> None:
    # What windows-1252 lacks, fpdf2 prints as a question mark.
    for class_name in CLASSES:
        for seed in range(10):
            for page in render(class_name, seed, dpi=20).pages:
                page.text.encode("cp1252")


def test_a_contract_runs_over_several_pages() -> None:
    assert all(len(render("contract", seed, dpi=20).images) > 1 for seed in range(20))


@pytest.mark.parametrize("kind", wear.WEARS)
def test_wear_moves_the_fields_with_the_paper(kind: Callable[[Sample, int], Sample]) -> None:
    sample = render("invoice", 5)
    worn = kind(sample, 5)
    assert worn.fields.keys() == sample.fields.keys()
    total = worn.fields["total"]
    assert worn.pages[0].width == worn.images[0].width
    assert ink(worn.images[0], total.box) > 60
    left, top, right, bottom = total.box
    beside = (left, bottom + 12, right, bottom + 12 + (bottom - top) / 2)
    assert ink(worn.images[0], total.box) > ink(worn.images[0], beside)


def test_wear_is_the_same_for_the_same_seed() -> None:
    sample = render("receipt", 2)
    first, again = wear.photographed(sample, 9), wear.photographed(sample, 9)
    assert first.images[0].tobytes() == again.images[0].tobytes()
    assert first.fields == again.fields


def test_the_turned_photo_comes_upright_by_its_exif_tag() -> None:
    sample = render("passport", 1)
    stored = Image.open(io.BytesIO(file_format.turned_jpeg(sample)))
    upright = ImageOps.exif_transpose(stored).convert("L")
    apart = ImageStat.Stat(ImageChops.difference(upright, sample.images[0].convert("L"))).mean[0]
    as_stored = ImageStat.Stat(ImageChops.difference(stored.convert("L"), sample.images[0].convert("L"))).mean[0]
    assert apart < 3 < as_stored


def test_pages_survive_in_formats_that_hold_several() -> None:
    sample = render("contract", 1, dpi=72)
    count = len(sample.images)
    assert Image.open(io.BytesIO(file_format.tiff(sample))).n_frames == count
    fax = Image.open(io.BytesIO(file_format.fax_tiff(sample)))
    assert (fax.n_frames, fax.mode) == (count, "1")
    scan = pypdfium2.PdfDocument(file_format.scanned_pdf(sample))
    try:
        assert len(scan) == count
        assert all(not page.get_textpage().get_text_bounded().strip() for page in scan)
    finally:
        scan.close()


def test_the_demo_case_is_varied_and_names_the_truth(case: list[DemoDocument]) -> None:
    assert 14 <= len(case) <= 20
    truths = {document.class_name for document in case} - {None}
    assert len(truths) >= 8
    assert truths <= set(CLASSES)
    suffixes = {document.path.suffix for document in case}
    assert {".png", ".jpg", ".tiff", ".heic", ".pdf", ".webp"} <= suffixes
    heic = next(document.path for document in case if document.path.suffix == ".heic")
    assert pillow_heif.open_heif(heic).size[0] > 500
    assert len([document for document in case if document.class_name is None]) == 2


def test_the_demo_asks_for_what_is_there_and_for_what_is_not(case: list[DemoDocument]) -> None:
    answers = [answer for document in case for answer in document.answers.values()]
    assert None in answers
    assert {"yes", "2"} <= set(answers)
    assert len(answers) >= 10


def test_the_broken_file_of_the_case_cannot_be_read(case: list[DemoDocument]) -> None:
    broken = next(document.path for document in case if "broken" in document.note)
    with broken.open("rb") as stream, Image.open(stream) as image, pytest.raises(OSError, match="truncated"):
        image.load()


def test_check_digits_follow_icao_doc_9303() -> None:
    # The specimen of ICAO Doc 9303 part 4, appendix B.
    assert check_digit("L898902C3") == "6"
    assert check_digit("740812") == "2"
    assert check_digit("120415") == "9"


def test_a_field_that_runs_over_a_line_end_is_boxed_whole() -> None:
    paper = Paper()
    text = "one two three four five six seven eight nine ten"
    paper.paragraph(50, 100, 90, text, fields={"answer": "three four five"})
    mark = paper.fields["answer"]
    assert mark.text == "three four five"
    assert mark.box[3] - mark.box[1] > 1.5 * paper.type_size


def test_money_and_dates_are_written_the_country_s_way() -> None:
    german = Origin(random.Random(1), samples.REGIONS["DE"])
    assert german.money(123456789) == "1.234.567,89 €"
    assert german.written(date(2024, 3, 5), "{d}. {month} {y}") == "5. März 2024"
    american = Origin(random.Random(1), samples.REGIONS["US"])
    assert american.money(-1250) == "-$12.50"
