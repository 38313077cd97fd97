"""The field lexicon: what clerks call the things that documents state, and how documents label them."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, get_args

import yaml

from core.errors import ModelFailure
from core.features import STOPWORDS, words_of
from core.question import Expected, Question
from core.settings import FieldSettings

PATH: Final = Path(__file__).with_name("field.yaml")
LONGEST: Final = 7
"""Words of a label that is looked up."""
_AS_LABELLED: Final = 0.9
"""How much it counts that a question uses a printed label's words."""
_LEAST: Final = 0.2
_UNLIKE: Final = 0.4
"""How much counts of a field whose values are of another kind than what is asked for."""
_ALIKE: Final = (
    {"person", "organisation"},
    {"number", "identifier"},
    {"number", "amount", "percent"},
    {"address", "country"},
)
_ASKING: Final = frozenset({"who", "whom", "whose", "when", "where", "how"})
_LOOK_ALIKES: Final = str.maketrans("l1058", "iiosb")
_PARTS: Final = re.compile(r"\s*[/|(){}\[\]•:：]+\s*|\s+[-–]\s+")
_NUMBERING: Final = re.compile(r"^\W*(?:\d{1,2}[a-d]?|[a-z])[.)]?(?=\s|[A-ZÀ-Þ])\W*")
_PIECE: Final = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Field:
    """Something that documents state.

    `asked`: what a question's subject calls it; `labels`: as printed, in several languages; `forms`: whole questions.
    """

    name: str
    expects: Expected
    asked: tuple[str, ...]
    labels: tuple[str, ...]
    forms: tuple[str, ...] = ()


class FieldLexicon:
    """Which fields a question means, and which ones a printed label announces; scores in (0, 1]."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self.fields = fields
        self._labels: dict[str, set[str]] = {}
        self._asked: list[tuple[str, frozenset[str], float]] = []
        self._forms: list[tuple[str, frozenset[str]]] = []
        for field in fields.values():
            for label in field.labels:
                self._labels.setdefault(_key(words_of(label)), set()).add(field.name)
            for phrase in (field.name.replace("_", " "), *field.asked):
                self._asked.append((field.name, _content(phrase), 1.0))
            for label in field.labels:
                self._asked.append((field.name, _content(label), _AS_LABELLED))
            for form in field.forms:
                self._forms.append((field.name, _asking(form)))
        self._labels.pop("", None)

    @cached_property
    def digest(self) -> str:
        """Names what the lexicon says."""
        return hashlib.sha256(repr(sorted(self.fields.items())).encode()).hexdigest()

    def fields_asked(self, question: Question) -> dict[str, float]:
        """The fields that a question means."""
        subject, whole = _content(question.subject), _asking(question.text)
        found: dict[str, float] = {}
        for name, phrase, weight in self._asked:
            if shared := len(subject & phrase):
                score = weight * (2 * shared / (len(subject) + len(phrase))) ** 2
                found[name] = max(found.get(name, 0.0), score)
        for name, form in self._forms:
            if shared := len(whole & form):
                score = (2 * shared / (len(whole) + len(form))) ** 2
                found[name] = max(found.get(name, 0.0), score)
        for name in found:
            if not _goes_with(question.expects, self.fields[name].expects):
                found[name] *= _UNLIKE
        best = max(found.values(), default=0.0)
        return {name: score for name, score in found.items() if score >= max(_LEAST, 0.3 * best)}

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
            merged[name] = more if known is None else _joined(known, more)
        return FieldLexicon(merged)


def _joined(known: Field, more: Field) -> Field:
    return replace(known, asked=(*known.asked, *more.asked), labels=(*known.labels, *more.labels))


def _goes_with(asked: Expected, field: Expected) -> bool:
    return asked == field or any({asked, field} <= alike for alike in _ALIKE) or "text" in (asked, field)


def _runs(count: int) -> Iterator[range]:
    for length in range(min(count, LONGEST), 0, -1):
        for start in range(count - length + 1):
            yield range(start, start + length)


def _content(phrase: str) -> frozenset[str]:
    words = words_of(phrase)
    return frozenset(_stem(word) for word in words if word not in STOPWORDS) or frozenset(words)


def _asking(text: str) -> frozenset[str]:
    """The telling words of a whole question, with the one that it asks by."""
    words = words_of(text)
    return _content(text) | {word for word in words if word in _ASKING}


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _key(words: list[str]) -> str:
    return "".join(words).replace("rn", "m").translate(_LOOK_ALIKES)


def _load() -> dict[str, Field]:
    try:
        entries: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
        fields = {name: _field(name, entry) for name, entry in entries.items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ModelFailure("bad_fields", f"{PATH} is no field lexicon: {error}; install docintake anew") from error
    return fields


def _field(name: str, entry: Mapping[str, Any]) -> Field:
    if entry["expects"] not in get_args(Expected):
        raise KeyError(f"{name} expects {entry['expects']}")
    words = (tuple(map(str, entry.get(key, ()))) for key in ("asked", "labels", "forms"))
    return Field(name, entry["expects"], *words)


def lexicon_of(own: Mapping[str, FieldSettings]) -> FieldLexicon:
    """The lexicon with a deployment's own words."""
    return LEXICON.with_fields(
        {name: Field(name, field.expects, field.questions, field.labels) for name, field in own.items()}
    )


LEXICON: Final = FieldLexicon(_load())
