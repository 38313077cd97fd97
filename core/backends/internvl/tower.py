"""The vision tower: what it sees in tiles, as a vector and as words for the language model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from core.backends.internvl.tiles import Tiles

if TYPE_CHECKING:
    from torch import Tensor

TOGETHER: Final = 32
"""Tiles that the tower sees at once; a power of two."""


@dataclass(frozen=True, slots=True)
class Sight:
    """`vectors`: (tiles, dimensions) float32, the mean of a tile's patches; `tokens`: (tiles, tokens of a tile, width
    of the language model).
    """

    vectors: "Tensor"
    tokens: "Tensor"


class Tower:
    """Sees each page once: what it saw stays with the page's tiles, and goes when they go."""

    def __init__(self, model: Any, *, compiled: bool) -> None:
        """An InternVLForConditionalGeneration. A compiled tower sees batches of 1, 2, 4, 8… tiles, so that it is
        compiled only so often.
        """
        self._model = model.model
        self._compiled = compiled
        if compiled:
            import torch

            config = self._model.config.vision_config
            with torch.inference_mode():
                # Installs hooks, which the compiler can look into but not install.
                self._see([torch.zeros(1, config.num_channels, *config.image_size)])
            self._model.vision_tower.compile(dynamic=False)

    def see(self, pages: Sequence[Tiles]) -> list[Sight]:
        """One sight each. On the device thread."""
        import torch

        # The same page may stand in a batch twice.
        new = list({id(page): page for page in pages if page.sight is None}.values())
        if new:
            seen = [self._see(pixels) for pixels in _batches([page.pixels for page in new])]
            sizes = [len(page) for page in new]
            vectors = torch.split(torch.cat([vectors for vectors, _ in seen]), sizes)
            tokens = torch.split(torch.cat([tokens for _, tokens in seen]), sizes)
            for page, own, words in zip(new, vectors, tokens, strict=True):
                page.sight = Sight(own, words)
        return [page.sight for page in pages if page.sight is not None]

    def _see(self, parts: Sequence["Tensor"]) -> tuple["Tensor", "Tensor"]:
        import torch
        from torch.nn import functional

        device = self._model.device
        # Each from its own pinned memory: joined on the CPU they would be in memory that is not.
        pixels = torch.cat([part.to(device, non_blocking=True) for part in parts])
        count = len(pixels)
        if self._compiled:
            missing = (1 << (count - 1).bit_length()) - count
            pixels = functional.pad(pixels, (0, 0, 0, 0, 0, 0, 0, missing))
        seen = self._model.get_image_features(pixel_values=pixels, return_dict=True)
        return seen.last_hidden_state[:count, 1:].float().mean(1), seen.pooler_output[:count]


def _batches(pages: Sequence["Tensor"]) -> Iterator[list["Tensor"]]:
    """All tiles in order, TOGETHER at a time, whichever pages they are of."""
    batch: list[Tensor] = []
    room = TOGETHER
    for page in pages:
        rest = page
        while len(rest):
            batch.append(rest[:room])
            room -= len(batch[-1])
            rest = rest[len(batch[-1]) :]
            if not room:
                yield batch
                batch, room = [], TOGETHER
    if batch:
        yield batch
