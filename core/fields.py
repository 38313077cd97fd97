"""The field lexicon: what clerks call the things that documents state, and how documents label them."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, get_args

import yaml

from core.errors import ModelFailure
from core.features import STOPWORDS, words_of
from core.question import Expected
from core.settings import FieldSettings

PATH: Final = Path(__file__).with_name("fields.yaml")
LONGEST: Final = 7
"""Words of a label that is looked up."""
_LOOK_ALIKES: Final = str.maketrans("l1058", "iiosb")
_PARTS: Final = re.compile(r"\s*[/|(){}\[\]•:：]+\s*|\s+[-–]\s+")
_NUMBERING: Final = re.compile(r"^\W*(?:\d{1,2}[a-d]?|[a-z])[.)]?(?=\s|[A-ZÀ-Þ])\W*")
_PIECE: Final = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Field:
    """Something that documents state. `asked`: phrases of questions; `labels`: as printed, in lower case."""

    name: str
    expects: Expected
    asked: tuple[str, ...]
    labels: tuple[str, ...]


class FieldLexicon:
    """Which fields a question means, and which ones a printed label announces; scores in (0, 1]."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self.fields = fields
        self._labels: dict[str, set[str]] = {}
        self._asked: list[tuple[str, frozenset[str], float]] = []
        for field in fields.values():
            for label in field.labels:
                self._labels.setdefault(_key(words_of(label)), set()).add(field.name)
            own = field.name.replace("_", " ")
            for phrase in dict.fromkeys((own, *field.asked)):
                self._asked.append((field.name, _content(phrase), 1.0))
            for label in field.labels:
                self._asked.append((field.name, _content(label), 0.9))
        self._labels.pop("", None)

    @cached_property
    def digest(self) -> str:
        """Names what the lexicon says."""
        return hashlib.sha256(repr(sorted(self.fields.items())).encode()).hexdigest()

    def fields_asked(self, subject: str) -> dict[str, float]:
        """The fields that a question's subject means."""
        wanted = _content(subject)
        found: dict[str, float] = {}
        if not wanted:
            return found
        for name, phrase, weight in self._asked:
            shared = len(wanted & phrase)
            if shared:
                score = weight * (2 * shared / (len(wanted) + len(phrase))) ** 2
                found[name] = max(found.get(name, 0.0), score)
        best = max(found.values(), default=0.0)
        return {name: score for name, score in found.items() if score >= max(0.2, 0.3 * best)}

    def fields_labelled(self, text: str) -> dict[str, float]:
        """The fields that a printed text announces, if it is a label."""
        found: dict[str, float] = {}
        parts = _PARTS.split(_NUMBERING.sub("", text))
        for part in dict.fromkeys((text, *parts)):
            words = words_of(part)
            total = sum(map(len, words))
            if not words or len(words) > 12:
                continue
            taken: list[range] = []
            for run in _runs(len(words)):
                names = self._labels.get(_key(words[run.start : run.stop]))
                if names is None or any(run.start >= longer.start and run.stop <= longer.stop for longer in taken):
                    continue
                taken.append(run)
                share = sum(len(word) for word in words[run.start : run.stop]) / total
                for name in names:
                    found[name] = max(found.get(name, 0.0), share**0.8 / len(names) ** 0.25)
        return {name: score for name, score in found.items() if score >= 0.15}

    def label_prefix(self, text: str) -> tuple[int, dict[str, float]] | None:
        """Where the value starts in a line that begins with a label, and the fields that announces; else None."""
        numbering = _NUMBERING.match(text)
        begin = numbering.end() if numbering else 0
        pieces = list(_PIECE.finditer(text, begin))[:LONGEST]
        for count in range(len(pieces), 0, -1):
            if pieces[0].start() - begin > 1:
                return None
            end = pieces[count - 1].end()
            names = self._labels.get(_key([piece.group().casefold() for piece in pieces[:count]]))
            rest = text[end:].lstrip(" \t.:#-–=*°º)(")
            if names and rest:
                return len(text) - len(rest), dict.fromkeys(names, 1.0)
        return None

    def with_fields(self, extra: Mapping[str, Field]) -> "FieldLexicon":
        """This lexicon with more fields, or more words for the ones it has."""
        merged = dict(self.fields)
        for name, more in extra.items():
            known = merged.get(name)
            asked = (*(known.asked if known else ()), *more.asked)
            labels = (*(known.labels if known else ()), *more.labels)
            merged[name] = Field(name, known.expects if known else more.expects, asked, labels)
        return FieldLexicon(merged)


def _runs(count: int) -> Iterator[range]:
    for length in range(min(count, LONGEST), 0, -1):
        for start in range(count - length + 1):
            yield range(start, start + length)


def _content(phrase: str) -> frozenset[str]:
    words = words_of(phrase)
    return frozenset(_stem(word) for word in words if word not in STOPWORDS) or frozenset(words)


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _key(words: list[str]) -> str:
    return "".join(words).replace("rn", "m").translate(_LOOK_ALIKES)


def _load() -> dict[str, Field]:
    try:
        entries: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
        fields = {
            name: Field(name, entry["expects"], tuple(map(str, entry["asked"])), tuple(map(str, entry["labels"])))
            for name, entry in entries.items()
        }
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ModelFailure("bad_fields", f"{PATH} is no field lexicon: {error}; install docintake anew") from error
    unknown = {field.expects for field in fields.values()} - set(get_args(Expected))
    if unknown:
        raise ModelFailure("bad_fields", f"{PATH} expects {sorted(unknown)}; install docintake anew")
    return fields


def lexicon_of(own: Mapping[str, FieldSettings]) -> FieldLexicon:
    """The lexicon with a deployment's own words."""
    return LEXICON.with_fields(
        {name: Field(name, field.expects, field.questions, field.labels) for name, field in own.items()}
    )


LEXICON: Final = FieldLexicon(_load())
