"""Running text: contracts, reports, protocols, minutes and articles."""

import random
from typing import Final

from samples.composed.bill import sheet
from samples.composed.draft import Draft, Piece
from samples.composed.facts import GENRES, Telling
from samples.words import vocabulary

_HEADINGS: Final = (
    "{}.",
    "Section {}",
    "§ {}",
    "Article {}",
    "{}. General",
    "{}. Terms",
    "ARTICLE {}",
    "{} Background",
    "Part {}",
)


def draft(rng: random.Random) -> Draft:
    """One to four pages of paragraphs under headings."""
    genre = rng.choice(GENRES)
    words = vocabulary("facts")[genre]
    made = sheet(rng, rng.choice(words["documents"]), (60, 115))
    if made.hand.language != "en" or made.hand.chance(0.5):
        made.hand.language = "en"
    telling = Telling(made, genre)
    if made.hand.chance(0.85):
        made.title(rng.choice(words["titles"]))
        made.gap(rng.choice((0, 1, 2)))
    if made.hand.chance(0.2):
        made.put(rng.choice(made.hand.world["terms"]), align="centre")
    heading = rng.choice(_HEADINGS) if made.hand.chance(0.6) else ""
    columns = made.hand.chance(0.12)
    parts = [telling.paragraph(rng.randint(1, 4)) for _ in range(rng.randint(1, 6))]
    if columns:
        middle = len(parts) // 2
        made.beside([lambda: _paragraphs(made, parts[:middle], ""), lambda: _paragraphs(made, parts[middle:], "")])
    else:
        _paragraphs(made, parts, heading)
    if made.hand.chance(0.4):
        made.need(2)
        made.put(f"{rng.choice(('Page ', '- ', ''))}{rng.randint(1, 60)}", align=rng.choice(("centre", "right")))
    telling.ask_in_vain()
    return made


def _paragraphs(draft: Draft, parts: list[list[Piece]], heading: str) -> None:
    rng = draft.rng
    apart = rng.choice((0, 0.7, 1.2))
    for number, pieces in enumerate(parts, 1):
        if not pieces:
            continue
        if heading and rng.random() < 0.7:
            draft.need(3)
            draft.put(heading.format(number))
        bullet = rng.choice(("• ", "(a) ", "- ", f"{number}.1 ")) if rng.random() < 0.1 else ""
        draft.paragraph([Piece(bullet), *pieces] if bullet else pieces)
        draft.gap(apart)
