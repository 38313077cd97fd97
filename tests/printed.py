"""Papers that the tests print for themselves: pictures of text, and PDFs written by hand."""

import io
import zlib
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

RECEIPT = ("CORNER BAKERY", "14 Mill Lane, Oxford", "Rye bread 3.40", "Total 3.40")


def picture(lines: Sequence[str] = RECEIPT, size: tuple[int, int] = (640, 420), text_height: int = 40) -> Image.Image:
    """Black lines of text on white, RGB."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(text_height)
    for row, line in enumerate(lines):
        draw.text((text_height, text_height + row * 2 * text_height), line, "black", font)
    return image


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The image as a file of that kind, by Pillow's name for it."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pdf(
    lines: Sequence[str] = (),
    *,
    scan: Image.Image | None = None,
    pages: int = 1,
    box: tuple[float, float] = (612, 792),
    filled_in: str | None = None,
    written_over: str | None = None,
    password: bool = False,
) -> bytes:
    """A PDF whose every page shows `scan` over all of it and carries `lines`, one at 720, 700, 680… points.

    With a scan the text is invisible, as that of a scanner's own OCR. `filled_in` is what stands in its one form
    field, `written_over` what somebody typed over the page with a viewer; with `password` the file asks for one.
    """
    objects: list[bytes] = [b"", b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    resources = b"/Font<</F 2 0 R>>"
    content = b""
    if scan is not None:
        pixels = zlib.compress(scan.convert("RGB").tobytes())
        head = f"/Width {scan.width}/Height {scan.height}/BitsPerComponent 8/Length {len(pixels)}"
        body = f"<</Subtype/Image/ColorSpace/DeviceRGB/Filter/FlateDecode{head}>>stream\n".encode()
        number = add(body + pixels + b"\nendstream")
        resources += f"/XObject<</I {number} 0 R>>".encode()
        content += f"q {box[0]} 0 0 {box[1]} 0 0 cm /I Do Q ".encode()
    for row, line in enumerate(lines):
        escaped = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)").encode("latin-1")
        invisible = 3 if scan is not None else 0
        content += f"BT /F 12 Tf {invisible} Tr 72 {720 - 20 * row} Td (".encode() + escaped + b") Tj ET "
    drawn = add(f"<</Length {len(content)}>>stream\n".encode() + content + b"\nendstream")
    form = b""
    annotations = b""

    def appearance_of(text: str) -> int:
        look = f"BT /F 12 Tf 4 6 Td ({text}) Tj ET".encode()
        head = f"<</Subtype/Form/BBox[0 0 200 20]/Resources<</Font<</F 2 0 R>>>>/Length {len(look)}>>"
        return add(head.encode() + b"stream\n" + look + b"\nendstream")

    if written_over is not None:
        note = add(
            f"<</Type/Annot/Subtype/FreeText/Contents({written_over})/Rect[72 460 272 480]/F 4"
            f"/DA(/F 12 Tf 0 g)/AP<</N {appearance_of(written_over)} 0 R>>>>".encode()
        )
        annotations = f"/Annots[{note} 0 R]".encode()
    if filled_in is not None:
        appearance = appearance_of(filled_in)
        field = add(
            f"<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/V({filled_in})/Rect[72 500 272 520]/F 4"
            f"/DA(/F 12 Tf 0 g)/AP<</N {appearance} 0 R>>>>".encode()
        )
        annotations = f"/Annots[{field} 0 R]".encode()
        form = f"/AcroForm<</Fields[{field} 0 R]/DA(/F 12 Tf 0 g)/DR<</Font<</F 2 0 R>>>>>>".encode()
    tree = len(objects) + pages + 1
    page = f"<</Type/Page/Parent {tree} 0 R/MediaBox[0 0 {box[0]} {box[1]}]/Contents {drawn} 0 R".encode()
    kids = [add(page + annotations + b"/Resources<<" + resources + b">>>>") for _ in range(pages)]
    listed = " ".join(f"{kid} 0 R" for kid in kids)
    add(f"<</Type/Pages/Count {pages}/Kids[{listed}]>>".encode())
    objects[0] = f"<</Type/Catalog/Pages {tree} 0 R".encode() + form + b">>"

    file = b"%PDF-1.7\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(file))
        file += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"<</Size {len(objects) + 1}/Root 1 0 R".encode()
    if password:
        # Keys that no password fits, least of all the empty one.
        key = b"<" + b"5a" * 32 + b">"
        trailer += b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O" + key + b"/U" + key + b">>/ID[<00><00>]"
    start = f"\nstartxref\n{len(file)}\n%%EOF".encode()
    return (
        file + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer".encode() + trailer + b">>" + start
    )
