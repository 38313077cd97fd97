"""Answers by generation: InternVL looks at the pages and says what stands there.

Checkpoints are those for transformers' own InternVL classes, whose names end in `-hf`; no code of theirs is run. When
this model encodes pages too, its backend joins the table of `core.backends`; until then `load_answerer` stands alone.
"""

import copy
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.answer import Inquiry, not_found
from core.contract.answer import Answer, IntegerValue, QuestionKind, Value, YesNoValue
from core.errors import ModelFailure, RejectedInput
from core.locate import locate
from core.prompts import NOT_FOUND, PROMPTS, prompt_of
from core.question import Question
from core.value import is_day_first, normalise, read_integer, read_yes_no

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache

INTERNVL: Final = "1"
"""Version of this code: its answers are asked for anew when it changes."""
TILES_OF_PAGE: Final = 12
"""At most, beside the page as a whole. A page of small print needs all of them to be read."""
TILES: Final = 48
"""Of all pages together, each of which has one at least."""
LONGEST_ANSWER: Final = 64
"""Tokens."""
LONGEST_QUESTION: Final = 1024
"""Tokens that are kept free for a prompt behind the pages."""
BATCH: Final = 16
"""Questions that are generated for at once: each takes a copy of the pages' keys and values."""
UNSEEN: Final = 0.5
"""An answer that the reader did not read on any page is worth this much of what the model makes of it."""

_START: Final = "<|im_start|>"
_END: Final = "<|im_end|>"
_IMAGE: Final = "<IMG_CONTEXT>"
_MARKS: Final = (_START, _END, "<img>", "</img>", _IMAGE)
_NO_ANSWER: Final = re.compile(rf"\W*(?:{NOT_FOUND}|not\s?found)?\W*", re.IGNORECASE)


@dataclass(slots=True)
class Prepared:
    """A document as the model takes it: `pixels` are (tiles, 3, side, side), normalised, in the order of `head`, the
    text before any question. `prefix` holds the keys and values of both, once they were computed.
    """

    inquiry: Inquiry
    pixels: "torch.Tensor"
    head: str
    prefix: "DynamicCache | None" = None


@dataclass(frozen=True, slots=True)
class Generated:
    """What the model said, and the geometric mean of its tokens' probabilities."""

    text: str
    probability: float


class InternVLAnswerer:
    """Answers from the pixels of the pages; evidence is what the reader read of the same words.

    The pages are encoded once for all questions: tiles through the vision tower, then with the text before them
    through the language model, whose keys and values all questions share. Generation is greedy. A batch that runs out
    of memory is halved by `core.answer`; the pages are not encoded again for it.
    """

    needs_pixels = True

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        tiler: Any,
        prompts: Mapping[QuestionKind, str],
        weights: str,
    ) -> None:
        """An InternVLForConditionalGeneration with its tokenizer and, to cut tiles, its image processor; `weights`
        is the digest of what the checkpoint holds.
        """
        self._model = model
        self._tokenizer = tokenizer
        self._tiler = tiler
        self._prompts = {**PROMPTS, **prompts}
        digest = hashlib.sha256(json.dumps(self._prompts, sort_keys=True).encode()).hexdigest()
        self.fingerprint = f"internvl-{INTERNVL}-{weights[:12]}-{digest[:8]}"
        added = sorted((token.content for token in tokenizer.added_tokens_decoder.values()), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, added)))
        self._ends = sorted(_ids(model.generation_config.eos_token_id) | {tokenizer.convert_tokens_to_ids(_END)})

    def prepare(self, inquiry: Inquiry) -> Prepared:
        """Cut the pages that are not blank into tiles.

        Raises RejectedInput(`too_many_pages`) where the model cannot see them all; ModelFailure(`tiling_failed`).
        """
        shown = [item for item in zip(inquiry.pages, inquiry.images, strict=True) if not item[0].is_blank]
        try:
            tiles = self._tiler(
                images=[image for _, image in shown],
                input_data_format="channels_last",
                crop_to_patches=True,
                max_patches=max(1, min(TILES_OF_PAGE, TILES // len(shown))),
                return_tensors="pt",
            )
        except Exception as error:
            raise ModelFailure(
                "tiling_failed", f"a page cannot be cut into tiles ({type(error).__name__}); report it with the page"
            ) from error
        tokens_of_tile = self._model.config.image_seq_length
        room = self._model.config.text_config.max_position_embeddings - LONGEST_QUESTION - LONGEST_ANSWER
        if len(tiles["pixel_values"]) * tokens_of_tile > room:
            raise RejectedInput(
                "too_many_pages", f"{len(shown)} pages are more than the model sees at once: ask about fewer"
            )
        head = f"{_START}user"
        for (page, _), count in zip(shown, tiles["num_patches"], strict=True):
            seen = _IMAGE * (int(count) * tokens_of_tile)
            head += f"\nPage {page.number} of {inquiry.page_count}: <img>{seen}</img>"
        return Prepared(inquiry, tiles["pixel_values"], head)

    def run(self, prepared: Prepared, questions: Sequence[Question]) -> list[Generated]:
        import torch

        with torch.inference_mode():
            if prepared.prefix is None:
                prepared.prefix = self._encode(prepared)
            texts = [
                f"\n{prompt_of(self._harmless(question), self._prompts)}{_END}\n{_START}assistant\n"
                for question in questions
            ]
            return [
                generated
                for start in range(0, len(texts), BATCH)
                for generated in self._generate(prepared.prefix, texts[start : start + BATCH])
            ]

    def finish(self, prepared: Prepared, question: Question, output: Generated) -> Answer:
        """Raises ModelFailure(`unusable_answer`) where the model's words are no answer to such a question."""
        text = " ".join(output.text.split())
        if _NO_ANSWER.fullmatch(text):
            return not_found(question, output.probability)
        location = locate(text, prepared.inquiry.pages)
        value: Value | None = None
        confidence = output.probability
        match question.kind:
            case "counting":
                if (integer := read_integer(text)) is None:
                    raise _unusable("number")
                text, value, location = str(integer), IntegerValue(integer=integer), None
            case "verification":
                if (yes := read_yes_no(text)) is None:
                    raise _unusable("yes or no")
                text, value, location = "Yes" if yes else "No", YesNoValue(yes=yes), None
            case "extraction":
                if location is None:
                    confidence *= UNSEEN
                else:
                    text = location.text
                whole = "\n".join(page.text for page in prepared.inquiry.pages)
                value = normalise(question.expects, text, is_day_first(whole))
        return Answer(
            question=question.text,
            kind=question.kind,
            status="answered",
            answer=text,
            value=value,
            confidence=confidence,
            evidence=list(location.evidence) if location else [],
        )

    def _harmless(self, question: Question) -> Question:
        """Without the tokens that stand for images and turns: a question may not speak for anyone else."""
        return replace(question, text=self._special.sub(" ", question.text))

    def _encode(self, prepared: Prepared) -> "DynamicCache":
        from transformers import DynamicCache

        model = self._model
        prefix = DynamicCache(config=model.config.text_config)
        model(
            input_ids=self._tokens([prepared.head])["input_ids"],
            pixel_values=prepared.pixels.to(model.device),
            past_key_values=prefix,
            use_cache=True,
            logits_to_keep=1,
        )
        return prefix

    def _generate(self, prefix: "DynamicCache", texts: Sequence[str]) -> list[Generated]:
        import torch

        # Padded on the left, behind the pages: all answers begin in the same column.
        tokens, cache = self._tokens(texts), copy.deepcopy(prefix)
        cache.batch_repeat_interleave(len(texts))
        ids, seen = tokens["input_ids"], tokens["attention_mask"]
        one = seen.new_ones(len(texts), 1)
        seen = torch.cat([one.expand(-1, prefix.get_seq_length()), seen], 1)
        positions = (seen.cumsum(1) - 1)[:, -ids.shape[1] :]
        ends = torch.tensor(self._ends, device=ids.device)
        said: list[torch.Tensor] = []
        surprise: list[torch.Tensor] = []
        ended = torch.zeros(len(texts), dtype=torch.bool, device=ids.device)
        while len(said) < LONGEST_ANSWER and not ended.all():
            logits = self._model(
                input_ids=ids,
                attention_mask=seen,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            logarithm, token = logits.float().log_softmax(-1).max(-1)
            said.append(token)
            surprise.append(logarithm)
            ended |= torch.isin(token, ends)
            ids, positions, seen = token[:, None], positions[:, -1:] + 1, torch.cat([seen, one], 1)
        rows = zip(torch.stack(said, 1).tolist(), torch.stack(surprise, 1).tolist(), strict=True)
        return [self._generated(row, logarithms) for row, logarithms in rows]

    def _generated(self, tokens: list[int], logarithms: list[float]) -> Generated:
        end = next((place for place, token in enumerate(tokens) if token in self._ends), len(tokens))
        heard = logarithms[: end + 1]  # that the answer ends here is part of it
        text = self._tokenizer.decode(tokens[:end], skip_special_tokens=True)
        return Generated(text, math.exp(sum(heard) / len(heard)))

    def _tokens(self, texts: Sequence[str]) -> Any:
        tokens = self._tokenizer(
            list(texts), padding=True, padding_side="left", add_special_tokens=False, return_tensors="pt"
        )
        return tokens.to(self._model.device)


def load_answerer(folder: Path, device: str, prompts: Mapping[QuestionKind, str]) -> InternVLAnswerer:
    """Load the checkpoint in a local folder: safetensors, configuration, tokenizer and image processor.

    In bfloat16, on a CPU in float32. Raises ModelFailure: `model_missing` or `model_unloadable`.
    """
    # Set before transformers is imported, which reads them once: nothing here may go to the network.
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")])
    if {file.suffix for file in files} != {".safetensors", ".json"}:
        raise ModelFailure(
            "model_missing",
            f"{folder} holds no checkpoint; put there all files of an InternVL whose name ends in -hf",
        )
    try:
        import torch
        from transformers import AutoTokenizer, InternVLForConditionalGeneration
        from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

        loaded: Any = InternVLForConditionalGeneration.from_pretrained(
            folder,
            dtype=torch.float32 if device == "cpu" else torch.bfloat16,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        model, report = loaded
        if report["missing_keys"] or report["mismatched_keys"]:
            # transformers fills them with chance and goes on.
            raise ValueError("weights are missing")
        # Not its processor, which wants torchvision for videos.
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tiler = GotOcr2ImageProcessorPil.from_pretrained(folder, local_files_only=True)
        known = tokenizer.get_vocab()
        if any(mark not in known for mark in _MARKS) or known[_IMAGE] != model.config.image_token_id:
            raise ValueError("the tokenizer lacks the marks of InternVL's chat")
        weights = hashlib.sha256()
        for file in files:
            with file.open("rb") as stream:
                weights.update(hashlib.file_digest(stream, "sha256").digest())
        return InternVLAnswerer(model.to(device).eval(), tokenizer, tiler, prompts, weights.hexdigest())
    except Exception as error:  # a broken checkpoint makes transformers raise whatever it stumbles over
        raise ModelFailure(
            "model_unloadable",
            f"the checkpoint in {folder} cannot be loaded on {device} ({error}): fetch it again, in its -hf form",
        ) from error


def _ids(value: int | list[int] | None) -> set[int]:
    if value is None:
        return set()
    return {value} if isinstance(value, int) else set(value)


def _unusable(wanted: str) -> ModelFailure:
    return ModelFailure("unusable_answer", f"the model was asked for {wanted} and said something else: ask otherwise")
