"""Files of every kind that is read, and damage done to them by seeded chance: bits, lengths, cuts, splices."""

import random
import re
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pillow_heif
from PIL import Image
from printed import RECEIPT, file_of, pdf, picture

_NUMBERS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
)
_WRITTEN = (
    b"0",
    b"-1",
    b"1",
    b"2",
    b"65536",
    b"2147483647",
    b"4294967296",
    b"99999999999999999999",
    b"1e39",
    b"0.00001",
)
_PDF_WORDS = re.compile(rb"(?<![\d.])-?\d+(?:\.\d+)?|/[A-Z][A-Za-z]+")


@cache
def whole_files() -> dict[str, bytes]:
    """Sound files, by kind. Small, so that damage is not lost in pixels."""
    pillow_heif.register_heif_opener()
    paper = picture(RECEIPT[-1:], size=(160, 64), text_height=16)
    turned = paper.rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    gray = Image.fromarray(np.asarray(paper.convert("L"), dtype=np.uint16) * 257)
    black = paper.convert("1")
    return {
        "png": file_of(paper),
        "png 16 bits": file_of(gray),
        "png palette": file_of(paper.convert("P"), transparency=0),
        "jpeg": file_of(paper, "JPEG", exif=exif),
        "jpeg progressive": file_of(paper.convert("CMYK"), "JPEG", progressive=True),
        "tiff": file_of(paper, "TIFF", save_all=True, append_images=[turned, paper]),
        "tiff lzw": file_of(paper, "TIFF", compression="tiff_lzw"),
        "tiff deflate": file_of(gray, "TIFF", compression="tiff_adobe_deflate"),
        "tiff jpeg": file_of(paper, "TIFF", compression="jpeg"),
        "tiff group 4": file_of(black, "TIFF", compression="group4"),
        "tiff packbits": file_of(black, "TIFF", compression="packbits"),
        "gif": file_of(paper.convert("P"), "GIF", save_all=True, append_images=[turned], duration=100),
        "bmp": file_of(paper, "BMP"),
        "bmp palette": file_of(paper.convert("P"), "BMP"),
        "webp": file_of(paper, "WEBP"),
        "webp moving": file_of(paper, "WEBP", lossless=True, save_all=True, append_images=[paper.rotate(180)]),
        "jpeg 2000": file_of(paper, "JPEG2000"),
        "avif": file_of(paper, "AVIF"),
        "heic": file_of(paper, "HEIF"),
        "pdf text": pdf(RECEIPT, pages=2),
        "pdf scan": pdf(RECEIPT[:1], scan=paper, box=(160, 64)),
        "pdf form": pdf(["Your name:"], filled_in="Ada Lovelace"),
        "pdf note": pdf(["Your name:"], written_over="Ada Lovelace"),
    }


def mutated(content: bytes, chance: random.Random, others: tuple[bytes, ...] = ()) -> bytes:
    """The file with one to four damages, its checksums mended half of the time, so that it is believed."""
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        kinds = _PDF_DAMAGE if content.startswith(b"%PDF") else _DAMAGE
        chance.choice(kinds)(damaged, chance, others or (content,))
    if content.startswith(b"\x89PNG") and chance.random() < 0.5:
        return with_checksums(bytes(damaged))
    return bytes(damaged)


def with_checksums(png: bytes) -> bytes:
    """The chunks of a PNG with the checksums that they should have."""
    file, at = bytearray(png), 8
    while at + 12 <= len(file):
        length = int.from_bytes(file[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(file):
            break
        file[end : end + 4] = zlib.crc32(file[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(file)


def _flip_bits(file: bytearray, chance: random.Random, _: tuple[bytes, ...]) -> None:
    for _flip in range(chance.choice((1, 4, 32))):
        if file:
            file[chance.randrange(len(file))] ^= 1 << chance.randrange(8)


def _overwrite(file: bytearray, chance: random.Random, _: tuple[bytes, ...]) -> None:
    at = _place(file, chance)
    length = chance.choice((1, 2, 16, 200))
    noise = chance.choice((bytes(length), b"\xff" * length, chance.randbytes(length)))
    file[at : at + length] = noise[: len(file) - at]


def _set_number(file: bytearray, chance: random.Random, _: tuple[bytes, ...]) -> None:
    """Lengths, sizes, offsets and counts stand near the beginning of most formats, or of their parts."""
    size = chance.choice((1, 2, 4, 4, 8))
    at = chance.randrange(min(len(file), 200) + 1) if chance.random() < 0.6 else _place(file, chance)
    number = chance.choice(_NUMBERS) % (1 << 8 * size)
    file[at : at + size] = number.to_bytes(size, chance.choice(("big", "little")))


def _cut(file: bytearray, chance: random.Random, _: tuple[bytes, ...]) -> None:
    del file[_place(file, chance) :]


def _remove(file: bytearray, chance: random.Random, _: tuple[bytes, ...]) -> None:
    at = _place(file, chance)
    del file[at : at + chance.choice((1, 4, 100, 2000))]


def _repeat(file: bytearray, chance: random.Random, _: tuple[bytes, ...]) -> None:
    at = _place(file, chance)
    part = bytes(file[at : at + chance.choice((1, 12, 500))])
    file[at:at] = part * chance.choice((1, 2, 50))


def _splice(file: bytearray, chance: random.Random, others: tuple[bytes, ...]) -> None:
    other = chance.choice(others)
    start = chance.randrange(len(other))
    at = _place(file, chance)
    file[at : at + chance.choice((0, 50, 2000))] = other[start : start + chance.choice((50, 2000))]


def _rewrite_words(file: bytearray, chance: random.Random, _: tuple[bytes, ...]) -> None:
    """Numbers and names of a PDF, replaced by others of the file or by what no number should be."""
    words = list(_PDF_WORDS.finditer(file))
    if words:
        word = chance.choice(words)
        file[word.start() : word.end()] = chance.choice((*_WRITTEN, *(other.group() for other in words)))


def _place(file: bytearray, chance: random.Random) -> int:
    return chance.randrange(len(file) + 1)


_Damage = Callable[[bytearray, random.Random, tuple[bytes, ...]], None]
_DAMAGE: tuple[_Damage, ...] = (_flip_bits, _overwrite, _set_number, _set_number, _cut, _remove, _repeat, _splice)
_PDF_DAMAGE: tuple[_Damage, ...] = (*_DAMAGE, *[_rewrite_words] * 8)


def mutations(seed: int) -> Iterator[tuple[str, bytes]]:
    """Damaged files without end, kind by kind in turn; the same for the same seed."""
    chance = random.Random(seed)
    whole = whole_files()
    families = {kind: tuple(whole[other] for other in whole if other.split()[0] == kind.split()[0]) for kind in whole}
    while True:
        for kind, content in whole.items():
            yield kind, mutated(content, chance, families[kind])
