"""Many continuations of one prefix, side by side in one row: none of them sees another, and the prefix is not copied.

What a token sees is a mask (the tree attention of SpecInfer, Miao et al., ASPLOS 2024), and its place is counted in
its own lane; so each continuation is what it would be alone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from core.backends.internvl.chat import Chat

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache

_NOTHING: Final = -1
_PREFIX: Final = 0


class Lanes:
    """Rows of a prefix each, which may differ in length, and so many lanes behind each of them."""

    def __init__(self, chat: Chat, prefixes: Sequence["DynamicCache"], lanes: int) -> None:
        """Prefixes are left as they are. Those that are shorter than the longest get masked columns before them."""
        import torch
        from torch.nn import functional
        from transformers import DynamicCache

        self._chat = chat
        self._cache = DynamicCache(config=chat.model.config.text_config)
        lengths = [prefix.get_seq_length() for prefix in prefixes]
        longest = max(lengths)
        rows: list[int] = []
        for number in range(len(prefixes[0])):
            layers: list[Any] = [prefix.layers[number] for prefix in prefixes]
            rows = [len(layer.keys) for layer in layers]
            keys, values = (
                torch.cat([functional.pad(part, (0, 0, longest - part.shape[2], 0)) for part in parts])
                for parts in ([layer.keys for layer in layers], [layer.values for layer in layers])
            )
            self._cache.update(keys, values, number)
        device = chat.model.device
        starts = torch.tensor(lengths, device=device).repeat_interleave(torch.tensor(rows, device=device))
        columns = torch.arange(longest, device=device)
        # (rows, columns): the lane that each column is of.
        self._lanes = torch.where(columns < (longest - starts)[:, None], _NOTHING, _PREFIX)
        # (rows, lanes): where each goes on.
        self._next = starts[:, None].repeat(1, lanes)

    def say(self, texts: Sequence[Sequence[Sequence[int]]]) -> tuple["Tensor", "Tensor"]:
        """Go on with tokens, at least one in each lane that is there: a list of lanes a row, of which later ones may
        be lacking.

        What the model has in mind at each, (rows, columns, width), and the columns that the lanes end in: (rows,
        lanes). The tokens of a row stand one after the other; a lacking lane ends in the row's last column.
        """
        import torch

        width = max(sum(map(len, row)) for row in texts)
        ids, lanes, positions, ends = [], [], [], []
        nexts = self._next.tolist()
        for row, starts in zip(texts, nexts, strict=True):
            missing = width - sum(map(len, row))
            ids.append([token for lane in row for token in lane] + [0] * missing)
            lanes.append([number for number, lane in enumerate(row, 1) for _ in lane] + [_NOTHING] * missing)
            places = [start + place for start, lane in zip(starts, row, strict=False) for place in range(len(lane))]
            positions.append(places + [0] * missing)
            end, own = -1, []
            for lane in row:
                own.append(end := end + len(lane))
            ends.append(own + [width - 1] * (len(starts) - len(row)))
        device = self._next.device
        hidden = self._feed(*(torch.tensor(rows, device=device) for rows in (ids, lanes, positions)))
        steps = [[len(lane) for lane in row] + [0] * (self._next.shape[1] - len(row)) for row in texts]
        self._next = self._next + torch.tensor(steps, device=device)
        return hidden, torch.tensor(ends, device=device)

    def step(self, tokens: "Tensor") -> "Tensor":
        """Go on with one token in each lane: (rows, lanes) → what the model has in mind, (rows, lanes, width)."""
        import torch

        lanes = torch.arange(1, tokens.shape[1] + 1, device=tokens.device).expand_as(tokens)
        hidden = self._feed(tokens, lanes, self._next)
        self._next = self._next + 1
        return hidden

    def _feed(self, ids: "Tensor", lanes: "Tensor", positions: "Tensor") -> "Tensor":
        import torch

        self._lanes = torch.cat([self._lanes, lanes], 1)
        all_columns = torch.arange(self._lanes.shape[1], device=ids.device)
        own, every = lanes[:, :, None], self._lanes[:, None, :]
        # What fills a row up sees itself and its like: a row of the mask with nothing in it would make no number.
        seen = (every == _PREFIX) | (every == own)
        seen &= all_columns <= all_columns[-ids.shape[1] :, None]
        hidden: Tensor = self._chat.continued(self._chat.embedded(ids), self._cache, seen, positions)
        return hidden
