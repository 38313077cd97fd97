"""What reading does to a page: letters that look alike, spaces lost, lines broken, joined or dropped, boxes askew."""

import random
from typing import Final, Literal

from core.page import Line, Page
from samples.composed.draft import Piece, Row

Box = tuple[float, float, float, float]
Place = tuple[int, str, Box]
"""Page number, text and box of a line's part of an answer."""

_ALIKE: Final = {
    "0": "OoD",
    "O": "0",
    "o": "0",
    "1": "lI|",
    "l": "1I",
    "I": "1l",
    "5": "S",
    "S": "5",
    "8": "B",
    "B": "8",
    "e": "c",
    "c": "e",
    "2": "Z",
    "6": "G",
    "g": "q9",
    "n": "r",
    "a": "e",
    "i": "l",
    "t": "f",
    ".": ",",
    ",": ".",
    "é": "e",
    "ü": "u",
    "ö": "o",
    "ß": "B",
    "ş": "s",
    "u": "v",
    "v": "u",
}


class Noise:
    """One document's reading. `level` is 0 for a text layer, and about 1 for a crumpled photograph."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.level = 0.0 if rng.random() < 0.35 else rng.choice((0.1, 0.2, 0.35, 0.6, 1.0))
        self.source: Literal["text_layer", "ocr"] = "text_layer" if not self.level and rng.random() < 0.7 else "ocr"
        self._loses_spaces = rng.random() < 0.3
        self._slant = rng.gauss(0, 0.012 * self.level)
        self._joins = rng.uniform(0.3, 1.6)

    def page(self, number: int, rows: list[Row], width: float, height: float) -> tuple[Page, dict[str, list[Place]]]:
        """The page as read, and where the marked pieces came to stand."""
        read = [(row, self._box(row)) for row in self._joined(self._kept(rows))]
        order = sorted(range(len(read)), key=lambda index: self._order(read[index][1], read[index][0].size))
        if self.source == "text_layer" and self.rng.random() < 0.5:
            order = list(range(len(read)))
        lines: list[Line] = []
        places: dict[str, list[Place]] = {}
        for row, box in (read[index] for index in order):
            pieces = [Piece(self._misread(piece.text), piece.mark) for piece in row.pieces]
            text = "".join(piece.text for piece in pieces)
            if not text.strip():
                continue
            confidence = 1.0 if self.source == "text_layer" else 1 - abs(self.rng.gauss(0, 0.02 + 0.08 * self.level))
            line = Line(text.strip(), box, round(max(confidence, 0.5), 4))
            lines.append(line)
            for piece in pieces:
                if piece.mark and piece.text.strip():
                    places.setdefault(piece.mark, []).append((number, piece.text.strip(), box))
        bottom = max([height, *(line.box[3] + 4 for line in lines)])
        right = max([width, *(line.box[2] + 4 for line in lines)])
        source = self.source if lines else "blank"
        return Page(number, round(right), round(bottom), source, tuple(lines)), places

    def _kept(self, rows: list[Row]) -> list[Row]:
        """Without some unmarked rows, and with some in two."""
        rng, kept = self.rng, []
        for row in rows:
            marked = any(piece.mark for piece in row.pieces)
            if not marked and rng.random() < 0.02 * self.level:
                continue
            if rng.random() < 0.03 + 0.05 * self.level and len(row.pieces) > 1:
                cut = rng.randrange(1, len(row.pieces))
                kept += self._split(row, row.pieces[:cut], row.pieces[cut:])
            elif not marked and " " in row.text and rng.random() < 0.05 * self.level:
                head, _, tail = row.text.partition(" ")
                kept += self._split(row, [Piece(head)], [Piece(tail)])
            else:
                kept.append(row)
        return kept

    def _split(self, row: Row, head: list[Piece], tail: list[Piece]) -> list[Row]:
        first = row.width * sum(len(piece.text) for piece in head) / max(len(row.text), 1)
        if "".join(piece.text for piece in head).strip() and "".join(piece.text for piece in tail).strip():
            return [
                Row(head, row.left, row.top, row.size, first),
                Row(tail, row.left + first, row.top, row.size, row.width - first),
            ]
        return [row]

    def _joined(self, rows: list[Row]) -> list[Row]:
        """Neighbours of a row that stand close become one line, as readers do."""
        joined: list[Row] = []
        for row in rows:
            last = joined[-1] if joined else None
            distance = row.left - (last.left + last.width) if last else 0.0
            if (
                last
                and abs(last.top - row.top) < 0.2 * row.size
                and 0 <= distance < self._joins * row.size
                and (distance < 0.35 * row.size or self.rng.random() < 0.3 * self.level)
            ):
                joined[-1] = Row(
                    [*last.pieces, Piece(" "), *row.pieces],
                    last.left,
                    last.top,
                    max(last.size, row.size),
                    row.left + row.width - last.left,
                )
            else:
                joined.append(row)
        return joined

    def _box(self, row: Row) -> Box:
        jitter = self.rng.gauss
        spread = 0.02 * row.size if self.source == "text_layer" else (0.04 + 0.06 * self.level) * row.size
        drop = self._slant * row.left
        swell = 0.0 if self.source == "text_layer" else row.size * 0.15 + abs(self._slant) * row.width * 0.5
        return (
            round(max(row.left + jitter(0, spread), 0), 1),
            round(max(row.top + drop - swell + jitter(0, spread), 0), 1),
            round(row.left + row.width + abs(jitter(0, spread)) + 1, 1),
            round(max(row.top + drop, 0) + row.size + swell + abs(jitter(0, spread)), 1),
        )

    def _order(self, box: Box, size: float) -> tuple[float, float]:
        """Top to bottom by rows, and left to right in each."""
        return round((box[1] + self.rng.gauss(0, 0.1 * self.level * size)) / (size * 0.6)), box[0]

    def _misread(self, text: str) -> str:
        level = self.level
        if not level:
            return text
        rng = self.rng
        share = 0.02 * level
        if rng.random() < len(text) * share:
            place = rng.randrange(len(text))
            letter = text[place]
            text = text[:place] + rng.choice(_ALIKE.get(letter, letter)) + text[place + 1 :]
        if " " in text.strip() and rng.random() < (0.5 if self._loses_spaces else 0.06) * level:
            place = rng.choice([index for index, letter in enumerate(text) if letter == " "])
            text = text[:place] + text[place + 1 :]
        if ":" in text and rng.random() < 0.08 * level:
            text = text.replace(":", rng.choice(("", ".", ";", " ")), 1)
        if len(text) > 6 and rng.random() < 0.03 * level:
            place = rng.randrange(2, len(text) - 2)
            text = text[:place] + " " + text[place:]
        return text
