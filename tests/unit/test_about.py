from pathlib import Path

import made_of_chance
import torch
from torch import nn
from transformers import CLIPModel

from core.backends.about import about_module


def test_a_model_tells_its_dtypes_by_weight_its_attention_and_its_size(tmp_path: Path) -> None:
    model = CLIPModel.from_pretrained(made_of_chance.clip(tmp_path), attn_implementation="eager")
    parameters = sum(weight.numel() for weight in model.parameters())
    assert about_module(model) == {"dtype": "float32", "attention": "eager", "parameters": f"{parameters:,}"}
    model.vision_model.to(torch.bfloat16)
    model.text_model.to(torch.float16)
    model.vision_model.config._attn_implementation = "sdpa"
    told = about_module(model)
    assert sorted(told["dtype"].split(" and ")) == ["bfloat16", "float16", "float32"]
    assert told["dtype"].endswith("float32")
    assert told["attention"] == "eager and sdpa"


def test_weights_that_two_layers_share_count_once() -> None:
    layer = nn.Linear(10, 10)
    assert about_module(nn.Sequential(layer, layer))["parameters"] == "110"
