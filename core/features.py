"""What deciding needs of one page, small enough to keep for every page ever read."""

import re
import struct
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.backends import Vectors
from core.errors import ModelFailure
from core.page import Line, Page

if TYPE_CHECKING:
    from torch import Tensor

RowsT = TypeVar("RowsT", Vectors, "Tensor")

FEATURES: Final = "1"
"""Version of this code: features of another version, or of another backend's fingerprint, are not comparable."""

TITLE: Final = 1 / 3
"""Share of the title lines in a page's vector; the chunks of text have the rest."""
MAX_TERMS: Final = 700
TITLE_WORDS: Final = 32
CHUNK_WORDS: Final = 85
"""Twice as many would still fit into the 256 tokens that MiniLM reads, at twice the cost and no better."""
MAX_CHUNKS: Final = 3
LONGEST_TERM: Final = 4
"""Words in a sequence."""
LONGEST_LABEL: Final = 48
"""Characters, without spaces, of a line or a label that counts as a whole."""

_HEADER: Final = struct.Struct("<4sHHI")
_MAGIC: Final = b"dif1"


@dataclass(frozen=True, slots=True)
class Features:
    """One page that is not blank.

    `vector`: (dimensions,) the mean of the backend's vectors of its parts, the title lines weighing `TITLE`.
    `keys`: sorted hashes of the page's words, word sequences and layout marks. `prominence`: as many numbers in
    [0, 255], how much each stands out; 255 is a big line of its own at the top. `words`: about how many words the
    page has, whether or not spaces stand between them. `tuned`: the vector as encoders of checkpoints make it, by
    their keys; no part of what `to_bytes` gives.
    """

    vector: Vectors
    keys: NDArray[np.uint32]
    prominence: NDArray[np.uint8]
    words: int
    tuned: Mapping[str, Vectors] = field(default_factory=dict)

    def tuned_by(self, key: str) -> Vectors:
        """The vector by that encoder. Raises ModelFailure(`not_tuned`) where nobody made it."""
        if key not in self.tuned:
            raise ModelFailure("not_tuned", f"a page has no vector by encoder {key}: a fault in the caller")
        return self.tuned[key]

    def with_tuned(self, key: str, vector: Vectors) -> Self:
        """The same page with what that encoder makes of it."""
        # As coarse as it will be stored, so that stored vectors decide alike.
        return replace(self, tuned={**self.tuned, key: vector.astype("<f2").astype(np.float32)})

    def to_bytes(self) -> bytes:
        return b"".join(
            (
                _HEADER.pack(_MAGIC, len(self.vector), len(self.keys), self.words),
                self.vector.astype("<f2").tobytes(),
                self.keys.astype("<u4").tobytes(),
                self.prominence.tobytes(),
            )
        )

    @classmethod
    def of_vector(cls, vector: Vectors) -> Self:
        """A page's vector without its words: what is kept of it for an encoder that `tuned` names."""
        return cls(vector, np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.uint8), 0)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What `to_bytes` gave. Raises ModelFailure(`bad_features`) for anything else."""
        try:
            magic, dimensions, terms, words = _HEADER.unpack_from(data)
            sizes = (2 * dimensions, 4 * terms, terms)
            if magic != _MAGIC or len(data) != _HEADER.size + sum(sizes):
                raise ModelFailure(
                    "bad_features", f"{len(data)} stored bytes are no features: header and length differ"
                )
        except struct.error as error:
            raise ModelFailure("bad_features", f"{len(data)} stored bytes are no features: {error}") from error
        at_keys = _HEADER.size + sizes[0]
        return cls(
            np.frombuffer(data, "<f2", dimensions, _HEADER.size).astype(np.float32),
            np.frombuffer(data, "<u4", terms, at_keys),
            np.frombuffer(data, np.uint8, terms, at_keys + sizes[1]),
            words,
        )


def features_of(page: Page, vectors: Vectors) -> Features:
    """Join a backend's vectors with what the page's text and layout say.

    `vectors`: (parts, dimensions) unit rows; where there are several, the first is that of the title lines.
    """
    vector = page_vector(vectors)
    terms: dict[int, float] = {}
    weights = _line_weights(page)
    for line, weight in zip(page.lines, weights, strict=True):
        for term, coverage in _line_terms(line.text):
            key = term_key(term)
            terms[key] = max(terms.get(key, 0.0), coverage * weight)
    best = sorted(terms.items(), key=lambda item: -item[1])[:MAX_TERMS]
    best += [(mark_key(mark), 1.0) for mark in marks_of(page)]
    best.sort()
    return Features(
        # As coarse as it will be stored, so that stored features decide alike.
        vector=vector.astype("<f2").astype(np.float32),
        keys=np.array([key for key, _ in best], dtype=np.uint32),
        prominence=np.array([round(255 * value) for _, value in best], dtype=np.uint8),
        words=sum(max(len(line.text.split()), len(line.text) // 8) for line in page.lines),
    )


def page_vector(parts: RowsT) -> RowsT:
    """(parts, dimensions) of a page → (dimensions,); the first of several is that of the title lines."""
    vector: RowsT = parts[0] if len(parts) == 1 else TITLE * parts[0] + (1 - TITLE) * parts[1:].mean(0)
    return vector


def part_texts(page: Page) -> list[str]:
    """The texts that stand for a page in a sentence encoder: its title lines, then chunks over its length."""
    weights = _line_weights(page)
    ranked = sorted(range(len(page.lines)), key=lambda index: -weights[index])
    chosen: list[int] = []
    words = 0
    for index in ranked:
        words += len(page.lines[index].text.split())
        if chosen and words > TITLE_WORDS:
            break
        chosen.append(index)
    title = " ".join(page.lines[index].text for index in sorted(chosen))
    tokens = page.text.split()
    chunks = [" ".join(tokens[start : start + CHUNK_WORDS]) for start in range(0, len(tokens), CHUNK_WORDS)]
    if len(chunks) > MAX_CHUNKS:
        spread = np.linspace(0, len(chunks) - 1, MAX_CHUNKS).round().astype(int)
        chunks = [chunks[index] for index in spread]
    return [title, *chunks]


def words_of(text: str) -> list[str]:
    """Lower-case words without accents; a run of Chinese, Japanese or Korean characters is one word."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(char for char in plain if not unicodedata.combining(char)))


def term_key(term: str) -> int:
    """32-bit key of a term. Spaces do not count, for readers lose and invent them, as in `PURCHASEORDER`; nor do
    the mistakes that readers make most, such as `lnvoice` and `lNV0ICE`.
    """
    return zlib.crc32(term.replace(" ", "").replace("rn", "m").translate(_LOOK_ALIKES).encode())


def phrase_keys(phrase: str) -> list[int]:
    """The keys under which a page's terms hold that phrase: one, or for a long phrase those of its runs as well."""
    words = words_of(phrase)
    runs = [_trimmed(words[start : start + LONGEST_TERM]) for start in range(max(1, len(words) - LONGEST_TERM + 1))]
    terms = dict.fromkeys("".join(run) for run in (words, *runs) if run)
    return [term_key(term) for term in terms]


def mark_key(mark: str) -> int:
    """The key of a layout mark such as `card`; no word has it."""
    return term_key("~" + mark)


def marks_of(page: Page) -> Iterator[str]:
    """Layout and pattern marks, such as `card`; genres name them."""
    texts = [line.text for line in page.lines]
    joined = "\n".join(texts)
    words = sum(len(text.split()) for text in texts)
    aspect = page.width / page.height
    if aspect > 1.2 and words < 120:
        yield "card"
    heights = [line.box[3] - line.box[1] for line in page.lines]
    if aspect > 1.25 and 20 <= words < 250 and median(heights) > 0.025 * page.height:
        yield "slide"
    if aspect < 0.6 and words < 400:
        yield "strip"
    if words < 60:
        yield "sparse"
    if len(_MRZ.findall(joined.replace(" ", ""))) >= 1:
        yield "mrz"
    if texts and median(len(text.split()) for text in texts) >= 8 and words > 150:
        yield "prose"
    if len(_AMOUNT.findall(joined)) >= 5:
        yield "amounts"
    if len(_AMOUNT.findall(joined)) >= 30:
        yield "ledger"
    if sum(text.rstrip().endswith(":") or ": " in text for text in texts) >= 8:
        yield "fields"


STOPWORDS: Final = frozenset(
    re.findall(
        r"\w+",
        """
        a an and any are as at be been but by can do for from had has have he her his if in into is it its may
        more no not of on or our she such that the their them there these they this to was we were which who
        will with would you your au aux das de del dem den der des di die do dos du e een ein eine el en et het
        il im ist la las le les los mit op para por pour sur te un una und une van von y zu zum zur
        """,
    )
)
_LOOK_ALIKES: Final = str.maketrans("l1058", "iiosb")
_WORD: Final = re.compile(r"[^\W_]+")
_MRZ: Final = re.compile(r"(?:[PIACV][A-Z<][A-Z<]{3}[A-Z<]{5,}<<[A-Z0-9<]{5,})|(?:[A-Z0-9<]{10,}<<<[A-Z0-9<]*)")
_AMOUNT: Final = re.compile(r"(?<![\d.,])\d{1,3}(?:[.,' ]?\d{3})*[.,]\d{2}(?!\d)")
_SEGMENT: Final = re.compile(r"[:;|\t]|\s{3,}|\.{3,}|_{3,}")


def _line_weights(page: Page) -> list[float]:
    """How much each line stands out, in (0, 1]: its height beside the page's usual one, and how far up it is."""
    if not page.lines:
        return []
    heights = [max(1.0, min(line.box[3] - line.box[1], line.box[2] - line.box[0])) for line in page.lines]
    usual = median(heights)
    return [
        min(1.0, max(0.15, 0.35 * height / usual) * _position_weight(line, page))
        for line, height in zip(page.lines, heights, strict=True)
    ]


def _position_weight(line: Line, page: Page) -> float:
    return 1.25 - 0.5 * min(1.0, max(0.0, line.box[1] / page.height))


def _line_terms(text: str) -> Iterator[tuple[str, float]]:
    """A line's words and word sequences, each with the share of its line, or of its part of the line, it covers."""
    for segment in _SEGMENT.split(text):
        words = words_of(segment)
        total = sum(map(len, words))
        if 2 <= total <= LONGEST_LABEL and not all(map(str.isdigit, words)):
            yield "".join(words), 1.0
        for length in range(1, LONGEST_TERM + 1):
            for start in range(len(words) - length + 1):
                run = words[start : start + length]
                if run[0] in STOPWORDS or run[-1] in STOPWORDS or (length > 1 and "".join(run[:2]).isdigit()):
                    continue
                term = "".join(run)
                if 2 <= len(term) <= LONGEST_LABEL and not (term.isdigit() and len(term) > 4):
                    yield term, len(term) / total
        yield from ((gram, len(gram) / total) for word in words if _is_cjk(word) for gram in _cjk_grams(word))


def _trimmed(words: list[str]) -> list[str]:
    """Without stopwords at either end, as sequences are on pages; all of them if there is nothing else."""
    kept = [index for index, word in enumerate(words) if word not in STOPWORDS]
    return words[kept[0] : kept[-1] + 1] if kept else []


def _is_cjk(word: str) -> bool:
    return any("\u3040" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3" for char in word)


def _cjk_grams(word: str) -> Iterator[str]:
    for length in range(2, 5):
        for start in range(len(word) - length + 1):
            yield word[start : start + length]
