"""Dual encoders in their smallest size, with weights of chance: what they see is nonsense, how they see it is not."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    PreTrainedTokenizerFast,
    Siglip2Config,
    Siglip2ImageProcessorPil,
    Siglip2Model,
    Siglip2TextConfig,
    Siglip2VisionConfig,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipTextConfig,
    SiglipVisionConfig,
)

SIDE = 28
PATCH = 7
PATCHES = 20
"""Of a page, as NaFlex sees it."""
LONGEST = 24
"""Tokens, instead of the 64 and 77 of grown-up models."""
LETTERS = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:<>/|_"
_TOWER = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
_SEES = {**_TOWER, "patch_size": PATCH}


def clip(folder: Path) -> Path:
    """A CLIP: byte-level pairs, a softmax's scale, no bias."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: number for number, char in enumerate(alphabet)}, []))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])
    ends = [(token, tokenizer.token_to_id(token)) for token in ("<|startoftext|>", "<|endoftext|>")]
    tokenizer.post_processor = processors.TemplateProcessing("<|startoftext|> $A <|endoftext|>", special_tokens=ends)
    _save_tokenizer(tokenizer, folder, {"pad_token": "<|endoftext|>", "eos_token": "<|endoftext|>"})
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(
        folder
    )
    text = CLIPTextConfig(
        **_TOWER,
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=LONGEST,
        bos_token_id=ends[0][1],
        eos_token_id=ends[1][1],
        pad_token_id=ends[1][1],
    )
    vision = CLIPVisionConfig(**_SEES, image_size=SIDE)
    _save(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)), folder)
    return folder


def siglip(folder: Path) -> Path:
    """A SigLIP of a fixed resolution: sentence pieces, filled up to the longest text."""
    scores = [("</s>", 0.0), ("<unk>", 0.0), *((letter, -5.0) for letter in LETTERS), ("▁invoice", -3.0)]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=1))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 0)])
    _save_tokenizer(tokenizer, folder, {"pad_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>"})
    SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    text = SiglipTextConfig(
        **_TOWER, vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=LONGEST, projection_size=16
    )
    vision = SiglipVisionConfig(**_SEES, image_size=SIDE)
    _save(SiglipModel(SiglipConfig(text_config=text, vision_config=vision)), folder)
    return folder


def naflex(folder: Path) -> Path:
    """A SigLIP 2 that sees pages in their own proportions. Its tokenizer is Gemma's, which leaves capitals alone."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    pieces = [*special, *LETTERS, "in", "inv"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("i", "n"), ("in", "v")], unk_token=special[3], fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing("$A <eos>", special_tokens=[("<eos>", 1)])
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    _save_tokenizer(tokenizer, folder, {**names, "add_eos_token": True})
    Siglip2ImageProcessorPil(patch_size=PATCH, max_num_patches=PATCHES).save_pretrained(folder)
    text = Siglip2TextConfig(
        **_TOWER, vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=LONGEST, projection_size=16
    )
    vision = Siglip2VisionConfig(**_SEES, num_patches=16)
    _save(Siglip2Model(Siglip2Config(text_config=text, vision_config=vision)), folder)
    return folder


def _save_tokenizer(tokenizer: Tokenizer, folder: Path, told: dict[str, str | bool]) -> None:
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="right", **told).save_pretrained(folder)


def _save(model: torch.nn.Module, folder: Path) -> None:
    """With weights so large that different pages and texts are told apart."""
    torch.manual_seed(7)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.ndim > 1:
                weights.normal_(std=0.4)
            elif name.endswith("bias"):
                weights.normal_(std=0.1)
        model.logit_scale.fill_(3.1)
        if hasattr(model, "logit_bias"):
            model.logit_bias.fill_(-2.3)
    model.save_pretrained(folder)
