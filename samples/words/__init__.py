"""What papers say, by topic and language: one YAML file a topic. All names and places in them are invented."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def vocabulary(topic: str) -> dict[str, Any]:
    """The file of a topic: language (or country) → key → word or words."""
    text = (files(__name__) / f"{topic}.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))
