import pytest

from core.pdf import Pdf
from core.text_layer import oddity
from samples.paper import Paper

LETTER = """Dear Ms O'Brien, thank you for your order no. AX-2041/7 of 3 March 2024.
The amount of $1,204.50 (incl. VAT) is due within 30 days; please pay into account DE89 3704 0044 0532 0130 00.
Table of contents........................12
Questions? Write to accounts@example.com or see https://www.example.com/help. Yours sincerely, J. Smith, Ph.D."""


@pytest.mark.parametrize(
    "text",
    [
        LETTER,
        LETTER.upper(),
        "Sehr geehrte Damen und Herren, die Überweisung über 1.204,50 € für Größe XL ist eingegangen.",
        "Договор аренды жилого помещения между сторонами, именуемыми далее Арендодатель и Арендатор",
        "発行日 2024年3月1日 請求書 株式会社 合計金額",
        "Item Qty Price 1 2 3.40 6.80 7 12 99.00 1,188.00 Total 1,194.80",
    ],
)
def test_what_people_write_is_hardly_odd(text: str) -> None:
    assert oddity(text) < 0.06


@pytest.mark.parametrize(
    "text",
    [
        "".join(chr(ord(char) - 29) if ord(char) > 60 else "\x03" for char in LETTER),
        LETTER.translate(str.maketrans("abcdefghijklmnopqrstuvwxyz", "defghijklmnopqrstuvwxyzabc")),
        "\ufffd\ufffd\ufffd \ufffd\ufffd \ufffd\ufffd\ufffd\ufffd",
        "«F0RM «3B*»CN t»nnt^im. i;nc. /^ ts*r;tiiS» n»Bfk. H^vid £vg»r 4s«»tersbip",
        "",
    ],
    ids=["shifted to symbols", "shifted letters", "no mapping", "poor OCR", "empty"],
)
def test_what_nobody_writes_is_odd(text: str) -> None:
    assert oddity(text) > 0.4


def test_what_stands_in_two_columns_is_two_lines() -> None:
    paper = Paper()
    for y, row in ((100, ("Invoice number", "Due date")), (114, ("4711", "3 March 2024"))):
        paper.text(60, y, row[0])
        paper.text(260, y, row[1])
    lines = Pdf(paper.to_pdf()).page(1).lines
    assert [line.text for line in lines] == ["Invoice number", "Due date", "4711", "3 March 2024"]
    assert lines[0].box[2] < lines[1].box[0]
