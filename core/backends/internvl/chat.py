"""What is said to the model around the pages, and what it makes of it."""

import re
from typing import TYPE_CHECKING, Any

from core.backends.internvl.checkpoint import END, IMAGE, START, Checkpoint
from core.backends.internvl.tower import Sight, Tower

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache


class Chat:
    """The language model, between texts and its own numbers; all but `shown` and `harmless` on the device thread."""

    def __init__(self, checkpoint: Checkpoint, tower: Tower) -> None:
        self.tower = tower
        self.model = checkpoint.model
        self._tokenizer = checkpoint.tokenizer
        added = sorted({token.content for token in self._tokenizer.added_tokens_decoder.values()}, key=len)
        self._special = re.compile("|".join(map(re.escape, reversed(added))))
        self.end: int = self._tokenizer.convert_tokens_to_ids(END)

    @property
    def room(self) -> int:
        """Tokens that it can keep in mind."""
        return int(self.model.config.text_config.max_position_embeddings)

    @property
    def tokens_of_tile(self) -> int:
        return int(self.model.config.image_seq_length)

    def shown(self, tiles: int) -> str:
        """An image of so many tiles, in a text."""
        return f"<img>{IMAGE * (tiles * self.tokens_of_tile)}</img>"

    def harmless(self, text: str) -> str:
        """Without the tokens that stand for images and turns: nobody's words may speak for anyone else."""
        return self._special.sub(" ", text)

    def asked(self, prompt: str) -> str:
        """The end of the user's turn, which began with `opening`, and the beginning of the model's."""
        return f"\n{prompt}{END}\n{START}assistant\n"

    @property
    def opening(self) -> str:
        return f"{START}user"

    def ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def text(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def embedded(self, ids: "Tensor") -> "Tensor":
        """(rows, columns) → (rows, columns, width)."""
        vectors: Tensor = self.model.get_input_embeddings()(ids)
        return vectors

    def logits(self, hidden: "Tensor") -> "Tensor":
        """(…, width) → (…, vocabulary) float32."""
        logits: Tensor = self.model.lm_head(hidden).float()
        return logits

    def prefix(self, text: str, sights: "list[Sight]") -> "tuple[DynamicCache, Tensor]":
        """Read a text that shows images, for each of these sights of equal size.

        Its keys and values, a row each, and what the model has in mind at its end: (rows, width).
        """
        import torch
        from transformers import DynamicCache

        ids = torch.tensor(self.ids(text), device=self.model.device)
        vectors = self.embedded(ids).expand(len(sights), -1, -1).clone()
        seen = torch.stack([sight.tokens.flatten(0, 1) for sight in sights])
        vectors[:, ids == self.model.config.image_token_id] = seen.to(vectors.dtype)
        cache = DynamicCache(config=self.model.config.text_config)
        hidden = self.model.model.language_model(
            inputs_embeds=vectors, past_key_values=cache, use_cache=True
        ).last_hidden_state
        return cache, hidden[:, -1]

    def continued(self, vectors: "Tensor", cache: "DynamicCache", mask: "Tensor", positions: "Tensor") -> Any:
        """(rows, columns, width) behind what is in the cache → what the model has in mind there, of the same shape.

        `mask`: (rows, columns, columns in all), what each sees; `positions`: (rows, columns).
        """
        return self.model.model.language_model(
            inputs_embeds=vectors,
            attention_mask=mask[:, None],
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
