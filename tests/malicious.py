"""Documents made to harm their reader: small files that want much memory or time, go in circles, or run programs."""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from functools import cache
from itertools import accumulate

from PIL import Image
from printed import RECEIPT, file_of, pdf, picture

MEBIBYTE = 1024**2


def objects(*bodies: bytes, root: bytes = b"1 0 R", trailer: bytes = b"") -> bytes:
    """A PDF of these objects, numbered from 1, the first being the catalogue."""
    file, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(bodies) + 1
    head = b"xref\n0 %d\n0000000000 65535 f \n%btrailer<</Size %d/Root %b%b>>" % (size, table, size, root, trailer)
    return bytes(file) + head + b"\nstartxref\n%d\n%%%%EOF" % len(file)


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<</Length %d%b>>stream\n%b\nendstream" % (len(content), entries, content)


def one_page(
    content: bytes, *more: bytes, entries: bytes = b"", resources: bytes = b"", box: bytes = b"0 0 612 792"
) -> bytes:
    """A PDF with one page; `more` are its objects from 5 on. `entries` go into the page's dictionary."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[%b]/Contents 4 0 R%b/Resources<<%b>>>>" % (box, entries, resources)
    return objects(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count 1/Kids[3 0 R]>>", page, content, *more)


def tree(pages: bytes, *more: bytes) -> bytes:
    """A PDF whose tree of pages begins as told; `more` are objects from 3 on."""
    return objects(b"<</Type/Catalog/Pages 2 0 R>>", pages, *more)


@cache
def deflated(block: bytes, repeats: int = 1, times: int = 1) -> bytes:
    """So many equal blocks as one deflated stream, deflated again until it is so `times` over."""
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)  # after which nothing refers back
    check = 1
    for _ in range(repeats):
        check = zlib.adler32(block, check)
    whole = b"\x78\xda" + packed * repeats + b"\x03\0" + struct.pack(">I", check)
    for _ in range(times - 1):
        whole = zlib.compress(whole, 9)
    return whole


def png(width: int, height: int, data: bytes, depth: int = 8, colour: int = 0, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG whose header promises such an image, whatever its data holds; `more` are chunks before the data."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = ((b"IHDR", header), *more, (b"IDAT", data), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(
    directories: Sequence[Sequence[tuple[int, int, int, int]]], following: Sequence[int], data: bytes = b""
) -> bytes:
    """A TIFF of directories of (tag, type, count, value), each followed by the one numbered so (-1: none)."""
    starts = [*accumulate((2 + 12 * len(entries) + 4 for entries in directories), initial=8)]
    parts = [b"II*\0" + struct.pack("<I", 8)]
    for entries, after in zip(directories, following, strict=True):
        parts.append(struct.pack("<H", len(entries)))
        parts += (struct.pack("<HHII", *entry) for entry in entries)
        parts.append(struct.pack("<I", starts[after] if after >= 0 else 0))
    return b"".join(parts) + data


def gray_page(
    width: int, height: int, offset: int, length: int, compression: int = 1
) -> list[tuple[int, int, int, int]]:
    """The directory of a TIFF's page in eight bits of gray, in one strip."""
    return [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)),
        *((273, 4, 1, offset), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, length)),
    ]


def gif(width: int, height: int) -> bytes:
    """A GIF of one dot on a screen of that size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return screen + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0;"


def webp(width: int, height: int) -> bytes:
    """A moving WebP whose canvas is of that size, with one small frame."""
    first, second = Image.new("RGB", (16, 16), "white"), Image.new("RGB", (16, 16), "black")
    file = bytearray(file_of(first, "WEBP", save_all=True, append_images=[second]))
    at = file.index(b"VP8X") + 12
    file[at : at + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(file)


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("invoice.pdf", pdf(RECEIPT))
    return file.getvalue()


FORM = b"/Type/XObject/Subtype/Form/BBox[0 0 612 792]"
TEXT = b"BT /F 12 Tf 72 720 Td (CORNER BAKERY) Tj ET"
FONT = b"/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"


def multiplying_forms(levels: int) -> bytes:
    """Forms that each draw the next one ten times over, the last of which draws a line: ten to the power of them."""
    forms = [
        stream(b"/X Do " * 10, FORM + b"/Resources<</XObject<</X %d 0 R>>>>" % (number + 6))
        for number in range(levels)
    ]
    return one_page(stream(b"/X Do"), *forms, stream(b"0 0 m 9 9 l S", FORM), resources=b"/XObject<</X 5 0 R>>")


SCRIPT = b"<</S/JavaScript/JS(while \\(true\\) { app.alert\\('hello'\\); })>>"
IMAGE = b"/Subtype/Image/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/FlateDecode"


@cache
def documents() -> dict[str, bytes]:
    """By what each attempts."""
    nested = b"[" * 200_000 + b"]" * 200_000
    paper = picture(RECEIPT[-1:], size=(160, 64), text_height=16)
    million = b"".join(b"%d 0 R " % 3 for _ in range(1_000_000))
    return {
        "a tree of pages that is its own branch": tree(b"<</Type/Pages/Count 5/Kids[2 0 R 2 0 R]>>"),
        "two branches that hold each other": tree(
            b"<</Type/Pages/Count 9/Kids[3 0 R]>>", b"<</Type/Pages/Parent 2 0 R/Count 9/Kids[2 0 R]>>"
        ),
        "a billion pages, by its own account": tree(
            b"<</Type/Pages/Count 1000000000/Kids[3 0 R]>>", b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"
        ),
        "more pages than numbers": tree(
            b"<</Type/Pages/Count 99999999999999/Kids[3 0 R]>>", b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"
        ),
        "fewer pages than none": tree(
            b"<</Type/Pages/Count -5/Kids[3 0 R]>>", b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"
        ),
        "one page a million times": tree(
            b"<</Type/Pages/Count 1000000/Kids[" + million + b"]>>", b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"
        ),
        "a page that is its own parent": tree(
            b"<</Type/Pages/Count 1/Kids[3 0 R]>>", b"<</Type/Page/Parent 3 0 R/Contents 3 0 R>>"
        ),
        "a catalogue that is its own pages": objects(b"<</Type/Catalog/Pages 1 0 R/Kids[1 0 R]/Count 1>>"),
        "a page of a billion points": one_page(stream(TEXT), resources=FONT, box=b"0 0 1e9 1000000000"),
        "a page of endless points": one_page(
            stream(TEXT), resources=FONT, box=b"0 0 " + b"9" * 60 + b" " + b"9" * 60
        ),
        "a page of less than nothing": one_page(stream(TEXT), resources=FONT, box=b"612 792 0 -99999999999"),
        "a page a billion times as high as wide": one_page(stream(TEXT), resources=FONT, box=b"0 0 1 1000000000"),
        "a page whose unit is a mile": one_page(stream(TEXT), resources=FONT, entries=b"/UserUnit 4561920000000"),
        "content of a gibibyte": one_page(stream(deflated(b" " * MEBIBYTE, 1024), b"/Filter/FlateDecode")),
        "content deflated thrice": one_page(
            stream(deflated(b" " * MEBIBYTE, 1024, 3), b"/Filter[/FlateDecode/FlateDecode/FlateDecode]")
        ),
        "content through forty filters": one_page(stream(b"x", b"/Filter[" + b"/ASCIIHexDecode" * 40 + b"]")),
        "operators by the million": one_page(
            stream(deflated(b"0 0 m 600 700 l S " * 10_000, 400), b"/Filter/FlateDecode")
        ),
        "text by the million": one_page(
            stream(deflated(b"BT /F 1 Tf 9 9 Td (word) Tj ET " * 10_000, 100), b"/Filter/FlateDecode"), resources=FONT
        ),
        "an image of ten gigapixels": one_page(
            stream(b"612 0 0 792 0 0 cm /I Do"),
            stream(deflated(bytes(MEBIBYTE)), IMAGE + b"/Width 100000/Height 100000"),
            resources=b"/XObject<</I 5 0 R>>",
        ),
        "an image that is its own mask": one_page(
            stream(b"612 0 0 792 0 0 cm /I Do"),
            stream(zlib.compress(bytes(64)), IMAGE + b"/Width 8/Height 8/SMask 5 0 R"),
            resources=b"/XObject<</I 5 0 R>>",
        ),
        "a form that draws itself": one_page(
            stream(b"/X Do"),
            stream(b"/X Do", FORM + b"/Resources<</XObject<</X 5 0 R>>>>"),
            resources=b"/XObject<</X 5 0 R>>",
        ),
        "forms that multiply": multiplying_forms(12),
        "a font whose letters are written in it": one_page(
            stream(b"BT /F 12 Tf (aaa) Tj ET"),
            b"<</Type/Font/Subtype/Type3/FontBBox[0 0 9 9]/FontMatrix[1 0 0 1 0 0]/CharProcs<</a 6 0 R>>/FirstChar 97"
            b"/LastChar 97/Widths[9]/Encoding<</Differences[97/a]>>/Resources<</Font<</F 5 0 R>>>>>>",
            stream(b"9 0 d0 BT /F 12 Tf (aaa) Tj ET"),
            resources=b"/Font<</F 5 0 R>>",
        ),
        "a broken font": one_page(
            stream(TEXT),
            b"<</Type/Font/Subtype/TrueType/BaseFont/X/FirstChar 0/LastChar 255/FontDescriptor 6 0 R>>",
            b"<</Type/FontDescriptor/FontName/X/Flags 4/FontFile2 7 0 R>>",
            stream(b"\0\1\0\0\xff\xff" + bytes(range(256)) * 40),
            resources=b"/Font<</F 5 0 R>>",
        ),
        "arrays in arrays": one_page(stream(TEXT), resources=FONT, entries=b"/Odd " + nested),
        "arrays in arrays of the content": one_page(stream(nested + b" TJ"), resources=FONT),
        "saved states without end": one_page(stream(deflated(b"q " * 10_000, 500), b"/Filter/FlateDecode")),
        "a length that is its own": one_page(b"<</Length 4 0 R>>stream\n" + TEXT + b"\nendstream", resources=FONT),
        "a table of objects that goes on with itself": pdf(RECEIPT).replace(b"trailer<<", b"trailer<</Prev 9"),
        "objects by the billion, by its own account": pdf(RECEIPT).replace(b"xref\n0 ", b"xref\n0 999999999"),
        "a pattern that is painted with itself": one_page(
            stream(b"/Pattern cs /P scn 0 0 612 792 re f"),
            stream(
                b"/Pattern cs /P scn 0 0 1 1 re f",
                b"/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 1 1]/XStep 0.001/YStep 0.001"
                b"/Resources<</Pattern<</P 5 0 R>>>>",
            ),
            resources=b"/Pattern<</P 5 0 R>>",
        ),
        "a function that is its own part": one_page(
            stream(b"/S sh"),
            b"<</FunctionType 3/Domain[0 1]/Functions[5 0 R 5 0 R]/Bounds[0.5]/Encode[0 1 0 1]>>",
            resources=b"/Shading<</S<</ShadingType 2/ColorSpace/DeviceGray/Coords[0 0 612 792]/Function 5 0 R>>>>",
        ),
        "outlines in a circle": objects(
            b"<</Type/Catalog/Pages 2 0 R/Outlines 5 0 R>>",
            b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<<" + FONT + b">>>>",
            stream(TEXT),
            b"<</First 5 0 R/Last 5 0 R/Next 5 0 R/Parent 5 0 R/Count 9>>",
        ),
        "a form field that is its own child": pdf(["Name:"], filled_in="Ada").replace(
            b"/FT/Tx", b"/FT/Tx/Kids[5 0 R 5 0 R]/Parent 5 0 R"
        ),
        "scripts that run for ever": objects(
            b"<</Type/Catalog/Pages 2 0 R/OpenAction " + SCRIPT + b"/AA<</WC " + SCRIPT + b">>/Names<</JavaScript<<"
            b"/Names[(a)" + SCRIPT + b"]>>>>/AcroForm<</Fields[]/CO[]>>>>",
            b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/AA<</O "
            + SCRIPT
            + b">>/Resources<<"
            + FONT
            + b">>>>",
            stream(TEXT),
        ),
        "a program to launch": one_page(
            stream(TEXT), resources=FONT, entries=b"/AA<</O<</S/Launch/F(/bin/sh)/Win<</F(cmd.exe)>>>>>>"
        ),
        "content from another file": one_page(
            b"<</Length 0/F<</Type/Filespec/FS/URL/F(file:///etc/passwd)>>>>stream\n\nendstream", resources=FONT
        ),
        "a letter to a stranger": one_page(
            stream(TEXT), resources=FONT, entries=b"/AA<</O<</S/URI/URI(http://127.0.0.1:9/)>>>>"
        ),
        "a PNG of four gigapixels": png(65535, 65535, deflated(bytes(MEBIBYTE))),
        "a PNG of a gibibyte on one line": png(10, 10, deflated(bytes(MEBIBYTE), 1024)),
        "a PNG that promises more than it holds": png(10_000, 10_000, deflated(bytes(MEBIBYTE))),
        "a PNG of a hundred megapixels, deep": png(10_000, 10_000, deflated(bytes(20_001), 10_000), 16),
        "a PNG with a comment of a gibibyte": png(
            10, 10, zlib.compress(bytes(110)), 8, 0, (b"zTXt", b"Comment\0\0" + deflated(bytes(MEBIBYTE), 1024))
        ),
        "a PNG with a profile of a gibibyte": png(
            10, 10, zlib.compress(bytes(110)), 8, 0, (b"iCCP", b"icc\0\0" + deflated(bytes(MEBIBYTE), 1024))
        ),
        "a TIFF whose pages go in a circle": tiff(
            [gray_page(8, 8, 8, 64), gray_page(8, 8, 8, 64)], [1, 0], bytes(64)
        ),
        "a TIFF whose page follows itself": tiff([gray_page(8, 8, 8, 64)], [0], bytes(64)),
        "a TIFF of a hundred thousand pages": tiff([gray_page(8, 8, 8, 64)] * 100_000, [*range(1, 100_000), -1]),
        "a TIFF of four billion lines": tiff([gray_page(4_000_000_000, 4_000_000_000, 200, 64)], [-1], bytes(64)),
        "a TIFF that deflates to a gibibyte": tiff(
            [gray_page(32_768, 3_000, 122, 2_000_000, 8)], [-1], deflated(bytes(MEBIBYTE), 1024)
        ),
        "a TIFF with four billion strips": tiff(
            [[*gray_page(8, 8, 200, 64)[:5], (273, 4, 0xFFFFFFFF, 8), (279, 4, 0xFFFFFFFF, 8)]], [-1], bytes(64)
        ),
        "a GIF with a screen of four gigapixels": gif(65535, 65535),
        "a WebP with a canvas of two hundred megapixels": webp(16383, 16383),
        "a zip": archive(),
        "a zip that begins as a PDF": b"%PDF-1.7\n" + archive(),
        "a PDF that is gzipped": gzip.compress(pdf(RECEIPT)),
        "an image under the signature of another": b"GIF89a" + file_of(paper)[6:],
        "a PDF behind the header of a PNG": file_of(paper)[:33] + pdf(RECEIPT),
        "a TIFF that is called a JPEG": b"\xff\xd8\xff" + file_of(paper, "TIFF")[3:],
        "a BMP with a billion lines": b"BM"
        + struct.pack("<IIIIiiHHIIIIII", 90, 0, 54, 40, 9, 10**9, 1, 24, 0, 0, 0, 0, 0, 0),
        "a BMP that runs for ever": b"BM"
        + struct.pack("<IIIIiiHHIIIIII", 90, 0, 54, 40, 9000, 9000, 1, 8, 1, 0, 0, 0, 0, 0)
        + bytes(2000),
    }
