"""Pages cut into tiles of the size that the vision tower takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import ModelFailure
from core.picture import Pixels

if TYPE_CHECKING:
    import torch

    from core.backends.internvl.tower import Sight


@dataclass(slots=True)
class Tiles:
    """`pixels`: (tiles, 3, side, side), normalised, of the images one after the other; `counts`: how many of each.

    `sight` is what the vision tower made of them, once it did.
    """

    pixels: "torch.Tensor"
    counts: tuple[int, ...]
    sight: "Sight | None" = None

    def __len__(self) -> int:
        return len(self.pixels)


class Cutter:
    """Cuts images on any thread, touching no device but for memory that it can copy from while it works."""

    def __init__(self, processor: Any, dtype: "torch.dtype", *, pinned: bool) -> None:
        """A GotOcr2ImageProcessorPil; `pinned`: into memory that is never paged out, for a CUDA device."""
        self._processor = processor
        self._dtype = dtype
        self._pinned = pinned

    def cut(self, images: Sequence[Pixels], most: int) -> Tiles:
        """At most so many tiles an image, in the grid that is most like it in shape; if more than one, then a last
        one of the image as a whole. Raises ModelFailure(`tiling_failed`).
        """
        try:
            cut = self._processor(
                images=list(images),
                input_data_format="channels_last",
                crop_to_patches=True,
                max_patches=most,
                return_tensors="pt",
            )
            pixels = cut["pixel_values"].to(self._dtype)
            counts = tuple(int(count) for count in cut["num_patches"])
        except Exception as error:
            raise ModelFailure(
                "tiling_failed", f"a page cannot be cut into tiles ({type(error).__name__}); report it with the page"
            ) from error
        return Tiles(pixels.pin_memory() if self._pinned else pixels, counts)
