"""Texts as unit vectors, by all-mpnet-base-v2 or another MPNet that was trained for its tokens' mean."""

from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np

from core.backends import Vectors
from core.backends.pretrained import digest_of, folder_of, go_offline, load_weights, unloadable

LONGEST: Final = 384
"""Tokens that all-mpnet-base-v2 was trained with; the rest of a text is not read."""
TOGETHER: Final = 32
"""Texts, of like length."""


class Sentences:
    """An MPNetModel with its tokenizer, always in float32: vectors are kept, and compared with other nodes'.

    `digest` is the SHA-256 of all that the checkpoint holds.
    """

    def __init__(self, model: Any, tokenizer: Any, digest: str) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._longest = min(LONGEST, model.config.max_position_embeddings - model.config.pad_token_id - 1)
        self.digest = digest

    @classmethod
    def load(cls, weights: str, device: str) -> Self:
        """Load a folder or what the hub's cache holds. Raises ModelFailure: `model_missing`, `model_unloadable`."""
        go_offline()
        folder = folder_of(weights)
        try:
            import torch
            from transformers import AutoTokenizer, MPNetModel

            # Its pooler was not trained along, and is not used.
            model = load_weights(MPNetModel, folder, torch.float32, add_pooling_layer=False)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            return cls(model.to(device).eval(), tokenizer, digest_of(folder))
        except Exception as error:  # a broken checkpoint makes transformers raise whatever it stumbles over
            raise unloadable(folder, device, error) from error

    @property
    def dimensions(self) -> int:
        return int(self._model.config.hidden_size)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """(texts, dimensions), unit rows."""
        import torch
        from torch.nn import functional

        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        ids = [self._tokenizer(text, truncation=True, max_length=self._longest)["input_ids"] for text in texts]
        order = sorted(range(len(texts)), key=lambda place: len(ids[place]))
        device = self._model.device
        with torch.inference_mode():
            for start in range(0, len(order), TOGETHER):
                places = order[start : start + TOGETHER]
                told = self._tokenizer.pad({"input_ids": [ids[place] for place in places]}, return_tensors="pt")
                known = told["attention_mask"].to(device)
                hidden = self._model(input_ids=told["input_ids"].to(device), attention_mask=known).last_hidden_state
                weights = known[..., None].float()
                means = (hidden * weights).sum(1) / weights.sum(1)
                vectors[places] = functional.normalize(means, dim=-1).cpu().numpy()
        return vectors
