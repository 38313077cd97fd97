"""A page as the backend takes it."""

from dataclasses import dataclass

from core.backends.internvl.tiles import Tiles


@dataclass(frozen=True, slots=True)
class PreparedPage:
    """`texts` are the page's parts for the sentence encoder; none where only looks count, or nothing was read.

    What the vision tower sees stays with `tiles`: whoever asks next for anything about the page has it at once.
    """

    tiles: Tiles
    texts: tuple[str, ...] = ()
