"""How likely the model is to call a page by each of some names, whatever the others are.

A page and the prompt are read once; the names continue them side by side, each unseen by the others, and the prompt
mentions none of them: neither their order nor their company matters. A name's score is the mean of the logarithms of
its tokens' probabilities, its end included: names of many tokens are not worse for that, and `bank` is not believed
because `bank statement` begins so.

Names also differ in how likely they are of nothing at all. With a blank page, that is subtracted: the score is then
what the page adds (Zhao et al. 2021, contextual calibration; Lin et al. 2024, VisualGPTScore).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from core.backends import Vectors
from core.backends.internvl.chat import Chat
from core.backends.internvl.lanes import Lanes
from core.backends.internvl.page import PreparedPage
from core.backends.internvl.tiles import Tiles

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache

PROMPT: Final = "What type of document is this? Answer with the type of the document alone, in one to four words."
TILES: Final = 64
"""Of pages that are read together, which have equal numbers of them."""
TOKENS: Final = 512
"""Of names that continue a page together."""


class Likelihood:
    """Prepared pages → (names,) float32 each: natural logarithms, less those of the blank page if there is one."""

    def __init__(self, chat: Chat, names: Sequence[str], blank: Tiles | None) -> None:
        self._chat = chat
        self._names = names
        self._blank = blank
        self._prior: Tensor | None = None

    def __call__(self, pages: Sequence[PreparedPage]) -> list[Vectors]:
        import torch

        with torch.inference_mode():
            scores = self._scores([page.tiles for page in pages])
            if self._blank is not None:
                if self._prior is None:
                    self._prior = self._scores([self._blank])
                scores = scores - self._prior
            return list(scores.cpu().numpy().astype(np.float32))

    def _scores(self, pages: Sequence[Tiles]) -> "Tensor":
        """(pages, names) float32."""
        import torch

        sights = self._chat.tower.see(pages)
        sizes = np.array([len(page) for page in pages])
        scores = torch.empty(len(pages), len(self._names), device=self._chat.model.device)
        for size in np.unique(sizes).tolist():
            text = f"{self._chat.opening}\n{self._chat.shown(size)}{self._chat.asked(PROMPT)}"
            places = np.flatnonzero(sizes == size).tolist()
            step = max(1, TILES // size)
            for start in range(0, len(places), step):
                some = places[start : start + step]
                prefix, end = self._chat.prefix(text, [sights[place] for place in some])
                scores[some] = self._continued(prefix, self._chat.logits(end).log_softmax(-1))
        return scores

    def _continued(self, prefix: "DynamicCache", first: "Tensor") -> "Tensor":
        """(pages, names) behind pages that were read, where `first` is what comes next: (pages, vocabulary)."""
        import torch

        names = [[*self._chat.ids(self._chat.harmless(name).strip() or "?"), self._chat.end] for name in self._names]
        parts: list[Tensor] = []
        for some in _chunks(names):
            begun = first[:, [name[0] for name in some]]
            lanes = Lanes(self._chat, [prefix], len(some))
            hidden, _ = lanes.say([[name[:-1] for name in some]] * len(first))
            following = torch.tensor([token for name in some for token in name[1:]], device=first.device)
            # A page at a time: all logits of all pages would take more memory than all else.
            rest = torch.stack([self._logarithms(row, following) for row in hidden])
            lengths = [len(name) for name in some]
            sums = [own.sum(1) for own in torch.split(rest, [length - 1 for length in lengths], 1)]
            parts.append((begun + torch.stack(sums, 1)) / torch.tensor(lengths, device=first.device))
        return torch.cat(parts, 1)

    def _logarithms(self, hidden: "Tensor", following: "Tensor") -> "Tensor":
        """(columns, width), and the (columns,) tokens that follow → the logarithms of their probabilities."""
        logits = self._chat.logits(hidden)
        return logits.gather(1, following[:, None])[:, 0] - logits.logsumexp(1)


def _chunks(names: Sequence[list[int]]) -> Iterator[list[list[int]]]:
    """All of them in order, of TOKENS tokens at most where one has no more than that."""
    chunk: list[list[int]] = []
    for name in names:
        if chunk and sum(map(len, chunk)) + len(name) > TOKENS:
            yield chunk
            chunk = []
        chunk.append(name)
    yield chunk
