"""Original checkpoints become native ones that say the same, or are refused and leave nothing."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_internvl import SIDE, SPECIAL, model
from tokenizers import pre_tokenizers
from transformers import InternVLForConditionalGeneration

from core.backends.internvl.checkpoint import Checkpoint
from core.backends.internvl.conversion import convert
from core.errors import IntakeError

LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
VOCABULARY = {word: number for number, word in enumerate([*LETTERS, "in", "Ġt", *SPECIAL])}


ORIGINAL = {
    r"model\.vision_tower\.embeddings\.cls_token": "vision_model.embeddings.class_embedding",
    r"model\.vision_tower\.embeddings\.position_embeddings": "vision_model.embeddings.position_embedding",
    r"model\.vision_tower\.embeddings\.patch_embeddings\.projection\.(.*)": (
        r"vision_model.embeddings.patch_embedding.\1"
    ),
    r"model\.vision_tower\.encoder\.layer\.(\d+)\.(.*)": r"vision_model.encoder.layers.\1.\2",
    r"(.*layers\.\d+)\.attention\.(.*)": r"\1.attn.\2",
    r"(vision.*attn)\.projection_layer\.(.*)": r"\1.proj.\2",
    r"(vision.*attn)\.q_proj\.(.*)": r"\1.qkv.\2",
    r"(vision.*)\.layernorm_before\.(.*)": r"\1.norm1.\2",
    r"(vision.*)\.layernorm_after\.(.*)": r"\1.norm2.\2",
    r"(vision.*)\.lambda_(.)": r"\1.ls\2",
    r"model\.multi_modal_projector\.layer_norm\.(.*)": r"mlp1.0.\1",
    r"model\.multi_modal_projector\.linear_1\.(.*)": r"mlp1.1.\1",
    r"model\.multi_modal_projector\.linear_2\.(.*)": r"mlp1.3.\1",
    r"model\.language_model\.(.*)": r"language_model.model.\1",
    r"lm_head\.(.*)": r"language_model.lm_head.\1",
}
"""Native names and what the original says instead; one after the other."""


def original_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Native weights as the original has them."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        original = name
        for native, instead in ORIGINAL.items():
            original = re.sub(f"^{native}$", instead, original)
        if ".qkv." in original:
            found[original] = torch.cat([weights[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"])
        elif not re.search(r"vision.*\.[kv]_proj\.", name):
            found[original] = tensor.clone()
    return found


def original_config(native: InternVLForConditionalGeneration) -> dict[str, Any]:
    vision, text = native.config.vision_config, native.config.text_config
    return {
        "architectures": ["InternVLChatModel"],
        "auto_map": {"AutoModel": "modeling_internvl_chat.InternVLChatModel"},
        "downsample_ratio": 0.5,
        "force_image_size": SIDE,
        "max_dynamic_patch": 6,
        "model_type": "internvl_chat",
        "ps_version": "v2",
        "select_layer": -1,
        "torch_dtype": "float32",
        "llm_config": {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "bos_token_id": 3,
            "eos_token_id": 3,
            "rope_theta": 1000000.0,
            "rope_scaling": {"factor": 2.0, "rope_type": "dynamic", "type": "dynamic"},
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "use_bfloat16": True,
            "use_sliding_window": False,
            "sliding_window": 32768,
            "vocab_size": text.vocab_size,
            "hidden_size": text.hidden_size,
            "intermediate_size": text.intermediate_size,
            "num_hidden_layers": text.num_hidden_layers,
            "num_attention_heads": text.num_attention_heads,
            "num_key_value_heads": text.num_key_value_heads,
            "max_position_embeddings": text.max_position_embeddings,
            "rms_norm_eps": text.rms_norm_eps,
        },
        "vision_config": {
            "architectures": ["InternVisionModel"],
            "model_type": "intern_vit_6b",
            "drop_path_rate": 0.1,
            "dropout": 0.0,
            "hidden_size": vision.hidden_size,
            "intermediate_size": vision.intermediate_size,
            "num_hidden_layers": vision.num_hidden_layers,
            "num_attention_heads": vision.num_attention_heads,
            "image_size": SIDE,
            "patch_size": 7,
            "norm_type": vision.norm_type,
            "layer_norm_eps": vision.layer_norm_eps,
            "qkv_bias": vision.attention_bias,
            "qk_normalization": vision.use_qk_norm,
        },
    }


def native_model(**vision: Any) -> InternVLForConditionalGeneration:
    made = model(VOCABULARY, **vision)
    made.config.text_config.rope_parameters = {"rope_theta": 1000000.0, "rope_type": "dynamic", "factor": 2.0}
    made.config.tie_word_embeddings = False
    # Made anew: with those, and with a head of its own.
    torch.manual_seed(11)
    made = InternVLForConditionalGeneration(made.config).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def save_original(folder: Path, native: InternVLForConditionalGeneration) -> Path:
    folder.mkdir()
    weights = original_names(dict(native.state_dict()))
    weights["language_model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    halves = [dict(list(weights.items())[start::2]) for start in range(2)]
    places: dict[str, str] = {}
    for number, half in enumerate(halves, 1):
        name = f"model-0000{number}-of-00002.safetensors"
        save_file(half, folder / name, {"format": "pt"})
        places |= dict.fromkeys(half, name)
    write(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})
    write(folder / "config.json", original_config(native))
    write(folder / "preprocessor_config.json", {"image_mean": [0.4, 0.4, 0.4], "image_std": [0.2, 0.2, 0.2]})
    write(folder / "vocab.json", {word: number for word, number in VOCABULARY.items() if word not in SPECIAL})
    (folder / "merges.txt").write_text("#version: 0.2\ni n\nĠ t\n", encoding="utf-8")
    added = {
        str(VOCABULARY[word]): {"content": word, "special": True, "lstrip": False, "rstrip": False}
        | {"normalized": False, "single_word": False}
        for word in SPECIAL
    }
    write(folder / "added_tokens.json", {word: VOCABULARY[word] for word in SPECIAL})
    write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "added_tokens_decoder": added,
            "additional_special_tokens": SPECIAL[:-1],
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
        },
    )
    return folder


def write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value), encoding="utf-8")


def edit(file: Path, change: Callable[[Any], Any]) -> None:
    value = json.loads(file.read_text(encoding="utf-8"))
    change(value)
    write(file, value)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save_original(tmp_path / "original", native_model())


@pytest.mark.parametrize(
    "vision", [{}, {"attention_bias": True}, {"use_qk_norm": True, "norm_type": "rms_norm"}], ids=str
)
def test_what_comes_out_has_the_same_weights_and_says_the_same(tmp_path: Path, vision: dict[str, Any]) -> None:
    native = native_model(**vision)
    said: list[str] = []
    convert(save_original(tmp_path / "original", native), tmp_path / "native", said.append)
    checkpoint = Checkpoint.load(str(tmp_path / "native"), "cpu")
    ours = checkpoint.model.state_dict()
    assert ours.keys() == native.state_dict().keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in native.state_dict().items())
    ids = torch.tensor([[1, *[VOCABULARY["<IMG_CONTEXT>"]] * 4, 7, 9]])
    pixels = torch.randn(1, 3, SIDE, SIDE)
    with torch.inference_mode():
        assert torch.equal(
            checkpoint.model(input_ids=ids, pixel_values=pixels).logits,
            native(input_ids=ids, pixel_values=pixels).logits,
        )
    assert any("2 of 2" in line for line in said)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["native", "original"]


def test_tokenizer_tiles_and_the_end_of_a_turn_come_along(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "native", lambda _: None)
    checkpoint = Checkpoint.load(str(tmp_path / "native"), "cpu")
    text = "<|im_start|>in the<IMG_CONTEXT>1"
    words = ["<|im_start|>", "in", "Ġt", "h", "e", "<IMG_CONTEXT>", "1"]
    assert checkpoint.tokenizer(text)["input_ids"] == [VOCABULARY[word] for word in words]
    assert checkpoint.model.generation_config.eos_token_id == VOCABULARY["<|im_end|>"]
    assert checkpoint.model.config.image_seq_length == 4
    assert checkpoint.model.config.text_config.rope_parameters["rope_theta"] == 1000000.0
    processor = checkpoint.processor
    assert (processor.size["height"], processor.max_patches, list(processor.image_mean)) == (SIDE, 6, [0.4] * 3)


def test_a_head_that_is_the_embedding_is_not_needed(tmp_path: Path) -> None:
    native = native_model()
    native.config.tie_word_embeddings = True
    native.lm_head.weight = native.model.language_model.embed_tokens.weight
    source = save_original(tmp_path / "original", native)
    edit(source / "config.json", lambda config: config["llm_config"].update(tie_word_embeddings=True))
    for file in source.glob("*.safetensors"):
        weights = load_file(file)
        weights.pop("language_model.lm_head.weight", None)
        save_file(weights, file, {"format": "pt"})
    convert(source, tmp_path / "native", lambda _: None)
    loaded = Checkpoint.load(str(tmp_path / "native"), "cpu").model
    assert torch.equal(loaded.lm_head.weight, native.lm_head.weight)


def test_what_an_earlier_try_left_is_removed(source: Path, tmp_path: Path) -> None:
    left = tmp_path / "native.part"
    left.mkdir()
    (left / "model-00009-of-00009.safetensors").write_bytes(b"half")
    convert(source, tmp_path / "native", lambda _: None)
    assert not left.exists()
    assert len(list((tmp_path / "native").glob("*.safetensors"))) == 2


def language(**changes: Any) -> Callable[[Path], None]:
    return lambda source: edit(source / "config.json", lambda config: config["llm_config"].update(changes))


def whole(**changes: Any) -> Callable[[Path], None]:
    return lambda source: edit(source / "config.json", lambda config: config.update(changes))


def only_pickles(source: Path) -> None:
    for file in source.glob("*.safetensors*"):
        file.unlink()
    (source / "pytorch_model.bin").write_bytes(b"")


def one_file_less(source: Path) -> None:
    (source / "model-00002-of-00002.safetensors").unlink()


def damaged_file(source: Path) -> None:
    (source / "model-00002-of-00002.safetensors").write_bytes(b"nothing")


def another_weight(source: Path) -> None:
    file = source / "model-00002-of-00002.safetensors"
    save_file(load_file(file) | {"vision_model.extra": torch.ones(1)}, file, {"format": "pt"})


def one_weight_less(source: Path) -> None:
    file = source / "model-00002-of-00002.safetensors"
    weights = load_file(file)
    weights.pop(next(iter(weights)))
    save_file(weights, file, {"format": "pt"})


def no_config(source: Path) -> None:
    (source / "config.json").unlink()


def no_marks(source: Path) -> None:
    (source / "added_tokens.json").unlink()
    write(source / "tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer"})


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (
            language(model_type="internlm2", architectures=["InternLM2ForCausalLM"]),
            "not_convertible: .*InternLM2.*Qwen2",
        ),
        (whole(model_type="internvl"), "not_convertible: .*native form already"),
        (whole(model_type="llava"), "not_convertible: .*'llava'"),
        (whole(select_layer=-4), "not_convertible"),
        (whole(ps_version="v1"), "not_convertible"),
        (another_weight, "not_convertible: nobody knows what vision_model.extra is for"),
        (only_pickles, "no_original: .*safetensors"),
        (one_file_less, "no_original: .*model-00002-of-00002.safetensors"),
        (damaged_file, "no_original: .*damaged"),
        (no_config, "no_original: .*config.json"),
        (no_marks, "no_original: the tokenizer"),
        (one_weight_less, "conversion_failed: .*missing"),
        (language(hidden_size=64), "conversion_failed"),
    ],
)
def test_what_cannot_be_converted_is_refused_and_leaves_nothing(
    source: Path, tmp_path: Path, harm: Callable[[Path], None], told: str
) -> None:
    harm(source)
    with pytest.raises(IntakeError, match=told):
        convert(source, tmp_path / "native", lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["original"]


def test_nothing_is_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "native").mkdir()
    with pytest.raises(IntakeError, match="target_exists"):
        convert(source, tmp_path / "native", lambda _: None)
    assert not list((tmp_path / "native").iterdir())
