"""Checkpoints as InternVL publishes them, which need code of their own, made into those that transformers knows.

Nothing of theirs is run: weights are read as safetensors, the rest as JSON. The vision tower's names and its joined
projections of queries, keys and values change, the language model stays as it is. What the original has in
`config.json`, `*.safetensors` and the tokenizer's files is described in InternVL's own repository
(github.com/OpenGVLab/InternVL); InternVL 2.5 and 3 on Qwen2 are alike.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.backends.internvl.checkpoint import END, IMAGE, MARKS
from core.backends.pretrained import go_offline
from core.errors import ModelFailure, RejectedInput

if TYPE_CHECKING:
    from torch import Tensor

_RENAMED: Final = (
    (r"vision_model\.embeddings\.class_embedding", "vision_tower.embeddings.cls_token"),
    (r"vision_model\.embeddings\.position_embedding", "vision_tower.embeddings.position_embeddings"),
    (r"vision_model\.embeddings\.patch_embedding\.", "vision_tower.embeddings.patch_embeddings.projection."),
    (
        r"vision_model\.encoder\.layers\.(\d+)\.attn\.proj\.",
        r"vision_tower.encoder.layer.\1.attention.projection_layer.",
    ),
    (r"vision_model\.encoder\.layers\.(\d+)\.attn\.", r"vision_tower.encoder.layer.\1.attention."),
    (r"vision_model\.encoder\.layers\.(\d+)\.norm1\.", r"vision_tower.encoder.layer.\1.layernorm_before."),
    (r"vision_model\.encoder\.layers\.(\d+)\.norm2\.", r"vision_tower.encoder.layer.\1.layernorm_after."),
    (r"vision_model\.encoder\.layers\.(\d+)\.ls([12])$", r"vision_tower.encoder.layer.\1.lambda_\2"),
    (r"vision_model\.encoder\.layers\.(\d+)\.mlp\.", r"vision_tower.encoder.layer.\1.mlp."),
    (r"mlp1\.0\.", "multi_modal_projector.layer_norm."),
    (r"mlp1\.1\.", "multi_modal_projector.linear_1."),
    (r"mlp1\.3\.", "multi_modal_projector.linear_2."),
    (r"language_model\.model\.", "language_model.model."),
    (r"language_model\.lm_head\.", "language_model.lm_head."),
)
"""How names begin in the original, and in the native layout as it is published."""
_JOINED: Final = re.compile(r"(.*\.attention)\.qkv\.(weight|bias)")
_CALCULATED: Final = re.compile(r".*\.(rotary_emb\.inv_freq|position_ids)")
"""Old checkpoints hold these as well."""
_VISION: Final = {
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_hidden_layers": "num_hidden_layers",
    "num_attention_heads": "num_attention_heads",
    "num_channels": "num_channels",
    "image_size": "image_size",
    "patch_size": "patch_size",
    "hidden_act": "hidden_act",
    "norm_type": "norm_type",
    "layer_norm_eps": "layer_norm_eps",
    "initializer_range": "initializer_range",
    "qkv_bias": "attention_bias",
    "qk_normalization": "use_qk_norm",
}
"""What the original says of its vision tower, and what transformers calls it."""
_LANGUAGE: Final = (
    "attention_dropout",
    "bos_token_id",
    "hidden_act",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "max_window_layers",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "sliding_window",
    "tie_word_embeddings",
    "use_sliding_window",
    "vocab_size",
)
"""What it says of its language model, in the same words."""
_IMAGENET: Final = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_TOKENIZER: Final = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)


def convert(source: Path, target: Path, say: Callable[[str], None]) -> None:
    """Make a native checkpoint in `target`, which may not exist yet, of the original one in `source`.

    It takes as much memory as the largest of its files, and at its end as the whole model, which is loaded to see
    that nothing is missing. Raises RejectedInput: `no_original`, `not_convertible` or `target_exists`; ModelFailure
    (`conversion_failed`) where what came out cannot be loaded. Nothing is left in `target` then.
    """
    config = _config_of(source)
    files = _files_of(source)
    if target.exists():
        raise RejectedInput("target_exists", f"{target} is there already: remove it, or name another folder")
    part = target.with_name(target.name + ".part")
    # What an earlier try left when it was killed.
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        end = _convert_tokenizer(source, part, config)
        _convert_processor(source, part, config)
        (part / "config.json").write_text(json.dumps(_native(config, end, part), indent=2) + "\n", encoding="utf-8")
        (part / "generation_config.json").write_text(json.dumps({"eos_token_id": end}) + "\n", encoding="utf-8")
        places: dict[str, str] = {}
        size = 0
        for number, file in enumerate(files, 1):
            say(f"{file.name}, {number} of {len(files)}")
            weights = dict(_weights_of(file))
            _save(weights, part / file.name)
            places |= dict.fromkeys(weights, file.name)
            size += sum(tensor.nbytes for tensor in weights.values())
        if len(files) > 1:
            index = {"metadata": {"total_size": size}, "weight_map": places}
            (part / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        say("loading it once to see that it is whole")
        _check(part)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _config_of(source: Path) -> dict[str, Any]:
    """What the original says of itself, if it is one that can be converted."""
    try:
        config: dict[str, Any] = json.loads((source / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RejectedInput("no_original", f"{source} has no config.json that can be read: fetch it again") from error
    kind = config.get("model_type")
    if kind == "internvl":
        raise RejectedInput("not_convertible", f"{source} is in the native form already: use it as it is")
    if kind != "internvl_chat":
        raise RejectedInput("not_convertible", f"{source} holds a model of type {kind!r}, not an InternVL")
    language = config.get("llm_config", {})
    if language.get("model_type") != "qwen2":
        name = (language.get("architectures") or [language.get("model_type")])[0]
        raise RejectedInput(
            "not_convertible",
            f"the language model in {source} is {name}, not Qwen2: take an InternVL2.5 of 1B, 4B, 38B or 78B, or any "
            "InternVL3 but the one of 9B",
        )
    if config.get("ps_version", "v1") != "v2" or config.get("select_layer", -1) != -1:
        raise RejectedInput(
            "not_convertible", f"{source} passes what it sees on in a way that transformers does not know"
        )
    return config


def _files_of(source: Path) -> list[Path]:
    """Its files of weights, all of them."""
    index = source / "model.safetensors.index.json"
    files = sorted(source.glob("*.safetensors"))
    if index.is_file():
        wanted = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        files = [source / name for name in sorted({Path(name).name for name in wanted})]
    if not files:
        raise RejectedInput("no_original", f"{source} has no weights in safetensors, and no others are read")
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise RejectedInput("no_original", f"{source} lacks {', '.join(missing)}: fetch it again")
    return files


def _convert_tokenizer(source: Path, part: Path, config: Mapping[str, Any]) -> int:
    """Write the tokenizer as one file. The token that ends a turn."""
    go_offline()
    # Apart from the original's configuration, which names code.
    for name in _TOKENIZER:
        if (source / name).is_file():
            shutil.copyfile(source / name, part / name)
    try:
        from transformers import Qwen2Tokenizer

        tokenizer = Qwen2Tokenizer.from_pretrained(part, local_files_only=True)
        known = tokenizer.get_vocab()
        lacking = [mark for mark in MARKS if mark not in known]
        if lacking or max(known.values()) >= config["llm_config"]["vocab_size"]:
            raise ValueError(f"it lacks {', '.join(lacking)}" if lacking else "it has more tokens than the model")
        for name in _TOKENIZER:
            (part / name).unlink(missing_ok=True)
        tokenizer.save_pretrained(part)
    except Exception as error:  # a broken tokenizer makes transformers raise whatever it stumbles over
        raise RejectedInput("no_original", f"the tokenizer in {source} cannot be used ({error})") from error
    return int(known[END])


def _convert_processor(source: Path, part: Path, config: Mapping[str, Any]) -> None:
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    told = source / "preprocessor_config.json"
    original = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
    side = _side(config)
    GotOcr2ImageProcessorPil(
        size={"height": side, "width": side},
        crop_to_patches=True,
        min_patches=config.get("min_dynamic_patch", 1),
        max_patches=config.get("max_dynamic_patch", 12),
        **{name: original.get(name, usual) for name, usual in _IMAGENET.items()},
    ).save_pretrained(part)


def _native(config: Mapping[str, Any], end: int, part: Path) -> dict[str, Any]:
    """The configuration of an InternVLForConditionalGeneration."""
    from transformers import InternVLConfig, InternVLVisionConfig, Qwen2Config

    vision, language = config["vision_config"], config["llm_config"]
    tokenizer = json.loads((part / "tokenizer.json").read_text(encoding="utf-8"))
    image = next(token["id"] for token in tokenizer["added_tokens"] if token["content"] == IMAGE)
    ratio = config.get("downsample_ratio", 0.5)
    patches = _side(config) // vision.get("patch_size", 14)
    tied = bool(language.get("tie_word_embeddings", False))
    native = InternVLConfig(
        vision_config=InternVLVisionConfig(
            **{new: vision[old] for old, new in _VISION.items() if old in vision},
            attention_dropout=vision.get("attention_dropout", 0.0),
            hidden_dropout_prob=vision.get("dropout", 0.0),
        ),
        text_config=Qwen2Config(**{name: language[name] for name in _LANGUAGE if name in language}, eos_token_id=end),
        image_token_id=image,
        image_seq_length=int((patches * ratio) ** 2),
        downsample_ratio=ratio,
        tie_word_embeddings=tied,
        architectures=["InternVLForConditionalGeneration"],
        dtype=config.get("torch_dtype") or config.get("dtype"),
    )
    values: dict[str, Any] = json.loads(native.to_json_string(use_diff=False))
    return values


def _side(config: Mapping[str, Any]) -> int:
    """Pixels of a tile."""
    return int(config.get("force_image_size") or config["vision_config"].get("image_size", 448))


def _weights_of(file: Path) -> "Iterator[tuple[str, Tensor]]":
    """Of a file, under their native names."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as stream:
            for name in stream.keys():  # noqa: SIM118 - it is no mapping
                if not _CALCULATED.fullmatch(name):
                    yield from _renamed(name, stream.get_tensor(name))
    except SafetensorError as error:
        raise RejectedInput("no_original", f"{file} is damaged ({error}): fetch it again") from error


def _renamed(name: str, tensor: "Tensor") -> "Iterator[tuple[str, Tensor]]":
    for old, new in _RENAMED:
        native, found = re.subn(f"^{old}", new, name)
        if not found:
            continue
        if joined := _JOINED.fullmatch(native):
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                yield f"{joined[1]}.{letter}_proj.{joined[2]}", part.contiguous()
        else:
            yield native, tensor
        return
    raise RejectedInput("not_convertible", f"nobody knows what {name} is for: this is another InternVL")


def _save(weights: "dict[str, Tensor]", file: Path) -> None:
    from safetensors.torch import save_file

    save_file(weights, file, {"format": "pt"})


def _check(folder: Path) -> None:
    """Raises ModelFailure(`conversion_failed`) where weights are missing, left over or of another shape."""
    from transformers import InternVLForConditionalGeneration

    try:
        loaded: Any = InternVLForConditionalGeneration.from_pretrained(
            folder, dtype="auto", use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # transformers raises whatever it stumbles over
        raise ModelFailure("conversion_failed", f"what came out cannot be loaded ({error})") from error
    wrong = [f"{len(names)} {kind.removesuffix('_keys')}" for kind, names in loaded[1].items() if names]
    if wrong:
        raise ModelFailure(
            "conversion_failed", f"of the weights that came out, {' and '.join(wrong)}: fetch it again"
        )
