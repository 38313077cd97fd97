"""Candidates: every piece of a document that could be an answer, whatever the question."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from core.extraction.layout import Layout, runs
from core.extraction.passage import Passage, passages
from core.field import FieldLexicon
from core.value import Mention, find_values

LONGEST_BLOCK: Final = 5
"""Lines of an address and the like."""
LONGEST_PHRASE: Final = 9
"""Words."""
_SHORT: Final = 7
"""Words of a line, but one, whose beginning may be a label that nothing marks as one."""
_AFTER: Final = 40
"""Characters that are looked at behind a candidate."""
MOST: Final = 4000
"""Candidates of one page; running text comes last, and what is over is left out."""

_COLON: Final = re.compile(r"(?<!\d)\s*[:：]\s*(?![/\\])|(?<=\d)\s*:\s+|\s[-–]\s|\s*#\s*|\s*=\s*|\.{3,}|_{3,}")
_UNIT: Final = re.compile(r"\s?(?:°\s?[CF]|[^\W\d_]{1,12})\b")
_NEXT_LABELS: Final = (
    re.compile(r"\s+[^\W\d][^\s:]*\s?[:：]"),
    re.compile(r"\s+[^\W\d]\S*\s[^\W\d][^\s:]*\s?[:：]"),
)
_NUMBERING: Final = re.compile(r"^\(?\d{0,2}[a-z]?[.)]?\s*(?=[^\W\d])|^\d{1,2}[a-d]?[.)]?\s+")
_PARTS: Final = re.compile(r"\s*[,/|(){}\[\]•]\s*|\s+[-–]\s+|\s{3,}")
_EDGES: Final = " \t:：;,.|*_-–—=~•'\"“”‘’()[]{}<>"
_NEGATIVE: Final = re.compile(r"-\s?[^\w\s]?\d[\d.,]*|\([^\w\s]?\d[\d.,]*\)")
_PHRASE: Final = re.compile(
    r"""[A-ZÀ-Þ][\w'’&.-]*(?:\s+(?:(?:of|and|the|de|la|le|du|von|van|der|for|&|in|at)\s+){0,2}[A-ZÀ-Þ0-9][\w'’&.-]*)*
      (?:,?\s(?:Inc|Ltd|LLC|L\.L\.C|Corp|Co|PLC|LLP|S\.A|N\.V|GmbH|AG|Jr|Sr|M\.D|MD|Ph\.D|PhD|Esq)\b\.?)*""",
    re.VERBOSE,
)
_BREAKS: Final = re.compile(r"[,;:()\[\]\"“”]|\.\s|\s[-–—]\s|$")
_OPENERS: Final = re.compile(
    r"\b(?:is|was|were|are|be|been|by|of|at|in|on|to|for|with|from|as|that|than|called|named|about|between|under|until|"
    r"via|per|after|before|because|due|include|includes|including|owns|has|have|had|the|a|an)\s+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A piece of text and what surrounds it.

    `layout` is the index of its page in the document, `lines` its lines there; `inline` what stands before it in its
    line or sentence since the last value, `after` what follows; `sentence` the running text around it, else empty.
    `kinds`: the kinds of value that the whole text is. `form` says how it was found.
    """

    layout: int
    lines: tuple[int, ...]
    text: str
    kinds: frozenset[str]
    inline: str
    after: str
    sentence: str
    form: str


FORMS: Final = ("line", "rest", "value", "part", "block", "phrase")


def candidates_of(layouts: Iterable[Layout], lexicon: FieldLexicon) -> list[Candidate]:
    """All candidates of a document, each text once a place; MOST of a page, so that no page crowds out another."""
    return [item for index, layout in enumerate(layouts) for item in _of_page(index, layout, lexicon)[:MOST]]


def _of_page(index: int, layout: Layout, lexicon: FieldLexicon) -> list[Candidate]:
    found: dict[tuple[tuple[int, ...], str], Candidate] = {}
    texts = passages(layout)
    for candidate in (
        *(item for passage in texts for item in _of_lines(index, layout, passage, lexicon)),
        *_blocks(index, layout),
        *(item for passage in texts if passage.is_prose for item in _of_prose(index, passage)),
    ):
        key = candidate.lines, candidate.text
        if key not in found or _rank(candidate) < _rank(found[key]):
            found[key] = candidate
    return list(found.values())


def _rank(candidate: Candidate) -> tuple[bool, int]:
    return (not candidate.inline, FORMS.index(candidate.form))


@dataclass(frozen=True, slots=True)
class _Row:
    """A line and the values in it, to cut pieces from."""

    layout: int
    line: int
    text: str
    values: list[Mention]
    sentence: str

    def piece(self, start: int, end: int, form: str) -> Iterator[Candidate]:
        """The candidate from `start` to `end`, unless nothing is left of it without its edges."""
        start, end = _trimmed(self.text, start, end)
        if start < end:
            yield Candidate(
                self.layout,
                (self.line,),
                self.text[start:end],
                _kinds(self.values, start, end),
                _before(self.text, start, self.values),
                self.text[end : end + _AFTER].strip(_EDGES),
                self.sentence,
                form,
            )

    def pieces(self, lexicon: FieldLexicon) -> Iterator[Candidate]:
        """What could be the answer in a line by itself: what follows a label, or a part of it."""
        text = self.text
        starts = {match.end() for match in _COLON.finditer(text)}
        prefix = lexicon.label_prefix(text)
        if prefix is not None:
            starts.add(prefix[0])
        numbering = _NUMBERING.match(text)
        if numbering is not None and numbering.end():
            starts.add(numbering.end())
        for start in sorted(starts):
            yield from self.piece(start, len(text), "rest")
            for label in _NEXT_LABELS:
                following = label.search(text, start)
                if following is not None:
                    yield from self.piece(start, following.start(), "rest")
        gaps = [match.span() for match in re.finditer(r"\s+", text)]
        if 1 <= len(gaps) <= _SHORT:
            for _, start in gaps[:3]:
                yield from self.piece(start, len(text), "part")
            yield from self.piece(0, gaps[-1][0], "part")
        bounds = [0, *(place for match in _PARTS.finditer(text) for place in match.span()), len(text)]
        if 4 <= len(bounds) <= 16:
            for start, end in zip(bounds[::2], bounds[1::2], strict=True):
                yield from self.piece(start, end, "part")


def _of_lines(index: int, layout: Layout, passage: Passage, lexicon: FieldLexicon) -> Iterator[Candidate]:
    for line in passage.lines:
        text = layout.page.lines[line].text
        row = _Row(index, line, text, find_values(text), passage.text if passage.is_prose else "")
        yield from row.piece(0, len(text), "line")
        for value in row.values:
            yield from row.piece(value.start, value.end, "value")
        if len(passage.lines) == 1 or not passage.is_prose:
            yield from row.pieces(lexicon)


def _blocks(index: int, layout: Layout) -> Iterator[Candidate]:
    for run in runs(layout, LONGEST_BLOCK):
        texts = [layout.page.lines[line].text.strip() for line in run]
        if sum(len(text.split()) for text in texts) <= 10 * len(texts):
            yield Candidate(index, run, "\n".join(texts), frozenset(), "", "", "", "block")
            # A block whose first line begins with its label, as in `Ship to: 12 High Street`.
            label = _COLON.search(texts[0])
            if label is not None and label.start() > 1 and texts[0][label.end() :].strip():
                rest = "\n".join((texts[0][label.end() :].strip(), *texts[1:]))
                yield Candidate(index, run, rest, frozenset(), texts[0][: label.start()], "", "", "block")


def _of_prose(index: int, passage: Passage) -> Iterator[Candidate]:
    for first, last in passage.sentences():
        sentence = passage.text[first:last]
        values = find_values(sentence)
        spans: dict[tuple[int, int], str] = {(value.start, value.end): "value" for value in values}
        for value in values:
            unit = _UNIT.match(sentence, value.end)
            if unit is not None and value.kind == "number":
                spans.setdefault((value.start, unit.end()), "phrase")
        for match in _PHRASE.finditer(sentence):
            spans.setdefault(match.span(), "phrase")
        for match in _OPENERS.finditer(sentence):
            stop = _BREAKS.search(sentence, match.end())
            end = stop.start() if stop else len(sentence)
            words = [found.end() for found in re.finditer(r"\S+", sentence[match.end() : end])]
            for count in {len(words), *range(1, min(len(words), 4) + 1)}:
                if 1 <= count <= LONGEST_PHRASE:
                    spans.setdefault((match.end(), match.end() + words[count - 1]), "phrase")
        for span, form in spans.items():
            start, end = _trimmed(sentence, *span)
            if start < end:
                yield Candidate(
                    index,
                    passage.lines_of(first + start, first + end),
                    sentence[start:end],
                    _kinds(values, start, end),
                    " ".join(sentence[:start].split()[-8:]),
                    " ".join(sentence[end:].split()[:6]),
                    sentence,
                    form,
                )


def _kinds(values: list[Mention], start: int, end: int) -> frozenset[str]:
    return frozenset(value.kind for value in values if value.start <= start and value.end >= end)


def _before(text: str, start: int, values: list[Mention]) -> str:
    """What stands before a piece, since the last value that ended before it."""
    begin = max((value.end for value in values if value.end <= start), default=0)
    return text[begin:start].strip(_EDGES)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] in _EDGES and not _NEGATIVE.match(text, start, end):
        start += 1
    while start < end and text[end - 1] in _EDGES:
        if _NEGATIVE.fullmatch(text, start, end) or (text[end - 1] == "." and _keeps_dot(text, start, end)):
            break
        end -= 1
    return start, end


def _keeps_dot(text: str, start: int, end: int) -> bool:
    last = text[start : end - 1].rsplit(" ", 1)[-1]
    return len(last) <= 3 and last.isalpha()
