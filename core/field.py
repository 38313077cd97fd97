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
_FAINT: Final = 0.3
"""… a label that is but a digit or two or a letter, such as the 1 before a licence's surname."""
_PART: Final = 0.4
"""… a field that another one is about, as the total in `total tax`."""
_SLIP: Final = 0.9
"""… a word that is known again in spite of a slip."""
_LONG: Final = 5
"""Letters of a word from which it is known again in spite of a slip."""
_UNLIKE: Final = 0.4
"""How much counts of a field whose values are of another kind than what is asked for."""
_ALIKE: Final = (
    {"person", "organisation"},
    {"number", "identifier"},
    {"number", "amount", "percent"},
    {"address", "country"},
)
_AS_KIN: Final = 0.6
"""How much it counts that a field is one that people and documents call by the other's name."""
_FAMILIES: Final = (
    "total balance_due amount_owed amount_paid current_charges card_payment",
    "date invoice_date issue_date statement_date letter_date order_date publication_date filing_date",
    "due_date end_date",
    "effective_date start_date",
    "expiry_date end_date",
    "period_ended fiscal_year_end statement_period",
    "vendor company sender registrant",
    "vendor insurer",
    "vendor bank",
    "vendor employer payer",
    "vendor clinic",
    "authority issuing_state country",
    "customer recipient account_holder payee",
    "holder patient member policyholder account_holder employee borrower student",
    "address vendor_address office_address location",
    "address holder_address customer_address recipient_address property_address",
    "ship_to delivery_address",
    "invoice_number receipt_number reference",
    "order_number po_number",
    "document_number licence_number passport_number personal_number",
    "member_number policy_number",
    "company_number tax_id employer_id",
    "subtotal net",
    "opening_balance previous_balance",
    "closing_balance account_value balance_due",
    "job_title occupation",
    "phone mobile office_phone",
    "signer sender",
    "investigator principal_investigator",
    "nationality citizen_country country",
    "contact buyer cashier",
)
_KIN: Final[dict[str, frozenset[str]]] = {
    name: frozenset(
        other for family in _FAMILIES if name in family.split() for other in family.split() if other != name
    )
    for name in {name for family in _FAMILIES for name in family.split()}
}
_ASKING: Final = frozenset({"who", "whom", "whose", "when", "where", "how"})
_LOOK_ALIKES: Final = str.maketrans("l1058", "iiosb")
_PARTS: Final = re.compile(r"\s*[/|(){}\[\]•:：]+\s*|\s+[-–]\s+")
_NUMBERING: Final = re.compile(r"^\W*(?:\d{1,2}[a-d]?|[a-z])[.)]?(?=\s|[A-ZÀ-Þ])\W*")
_PIECE: Final = re.compile(r"[^\W\d_]+")
_GLUED: Final = re.compile(r"[A-Z]{4,8}$")


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
        subject = _content(" ".join(map(self._spelled, words_of(question.subject))))
        whole = _asking(question.text)
        found: dict[str, float] = dict.fromkeys(self._joined.get(_key(words_of(question.subject)), ()), 1.0)
        said: dict[str, frozenset[str]] = {}
        for name, phrase, weight in self._asked:
            if shared := len(subject & phrase):
                score = weight * (2 * shared / (len(subject) + len(phrase))) ** 2
                if score > found.get(name, 0.0):
                    found[name], said[name] = score, phrase
        nearest = max(said, key=lambda name: found[name], default="")
        for name, phrase in said.items():
            if phrase < said[nearest]:
                found[name] *= _PART
        for name, form in self._forms:
            if shared := len(whole & form):
                score = (2 * shared / (len(whole) + len(form))) ** 2
                found[name] = max(found.get(name, 0.0), score)
        for name in found:
            if not _goes_with(question.expects, self.fields[name].expects):
                found[name] *= _UNLIKE
        best = max(found.values(), default=0.0)
        meant = {name: score for name, score in found.items() if score >= max(_LEAST, 0.3 * best)}
        for name, score in list(meant.items()):
            for kin in _KIN.get(name, ()):
                meant[kin] = max(meant.get(kin, 0.0), _AS_KIN * score)
        return meant

    def fields_labelled(self, text: str) -> dict[str, float]:
        """The fields that a printed text announces, if it is a label."""
        found: dict[str, float] = {}
        parts = _PARTS.split(_NUMBERING.sub("", text))
        for place, part in enumerate(dict.fromkeys((text, *parts))):
            words = words_of(part)
            # `Date of birth (DD/MM)`: what stands behind is no label of its own.
            if place > 1 and sum(map(len, words)) < 3:
                continue
            total = sum(map(len, words))
            if not words or len(words) > 12:
                continue
            taken: list[range] = []
            for run in _runs(len(words)):
                part_words = words[run.start : run.stop]
                if len(part_words) < len(words) and sum(map(len, part_words)) < 3:
                    continue
                names, worth = self._announced(part_words)
                if not names or any(run.start >= longer.start and run.stop <= longer.stop for longer in taken):
                    continue
                taken.append(run)
                share = sum(len(word) for word in words[run.start : run.stop]) / total
                for name in names:
                    found[name] = max(found.get(name, 0.0), worth * share**0.8 / len(names) ** 0.25)
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
            names = self._labels.get(_key(words_of(" ".join(piece.group() for piece in pieces[:count]))))
            rest = text[end:].lstrip(" \t.:#-–=*°º)(")
            if names and rest and _is_value(text[end : len(text) - len(rest)], rest, text):
                return len(text) - len(rest), dict.fromkeys(names, 1.0)
        # `18 EYESBLU`: a numbered label in capitals, and no space after it.
        if begin and _GLUED.match(text, begin):
            for end in range(len(text) - 1, max(begin + 2, len(text) - 4), -1):
                names = self._labels.get(_key(words_of(text[begin:end])))
                if names:
                    return end, dict.fromkeys(names, 1.0)
        return None

    def _announced(self, words: list[str]) -> tuple[set[str], float]:
        """The fields of a label, when it is one as a whole, and how surely it is that label."""
        key = _key(words)
        worth = _FAINT if len("".join(words)) < 2 or "".join(words).isdigit() else 1.0
        names = self._labels.get(key)
        if names is None and any(len(word) >= _LONG for word in words):
            names = self._labels.get(_key([self._spelled(word) for word in words]))
            worth *= _SLIP
        return names or set(), worth

    def _spelled(self, word: str) -> str:
        """The lexicon's word that this one is but for a slip; the word itself where there is none."""
        if len(word) < _LONG or word in self._vocabulary:
            return word
        known = (self._slips[form] for form in _shortened(word) if form in self._slips)
        return next((other for other in known if _differ_by_a_slip(word, other)), word)

    @cached_property
    def _joined(self) -> dict[str, set[str]]:
        """Questions' phrases by key: `invoicenumber`."""
        joined: dict[str, set[str]] = {}
        for field in self.fields.values():
            for phrase in field.asked:
                joined.setdefault(_key(words_of(phrase)), set()).add(field.name)
        return joined

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        """Words, and how many phrases use each."""
        uses: dict[str, int] = {}
        for field in self.fields.values():
            for phrase in (*field.asked, *field.labels):
                for word in words_of(phrase):
                    uses[word] = uses.get(word, 0) + 1
        return uses

    @cached_property
    def _slips(self) -> dict[str, str]:
        """Words without one of their letters, and the most used word that each could be."""
        slips: dict[str, str] = {}
        for word in sorted(self._vocabulary, key=lambda word: (-self._vocabulary[word], word)):
            if len(word) >= _LONG:
                for form in _shortened(word):
                    slips.setdefault(form, word)
        return slips

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


def _is_value(between: str, rest: str, text: str) -> bool:
    """Whether what follows a label looks like its value, rather than like the rest of a sentence."""
    first = rest.split(maxsplit=1)[0]
    return any(sign in between for sign in ":#=") or not (first.isalpha() and first[0].islower()) or text.islower()


def _differ_by_a_slip(word: str, other: str) -> bool:
    """Whether one letter is wrong, missing or too many, or two neighbours are swapped."""
    pairs = enumerate(zip(word, other, strict=False))
    start = next((place for place, pair in pairs if pair[0] != pair[1]), min(len(word), len(other)))
    word, other = word[start:], other[start:]
    return (
        word[1:] == other[1:] or word[1:] == other or word == other[1:]
        or (word[:2] == other[1::-1] and word[2:] == other[2:])
    )  # fmt: skip


def _shortened(word: str) -> list[str]:
    """A word, and it without each of its letters: words that have a form in common differ by a slip."""
    return [word, *(word[:place] + word[place + 1 :] for place in range(len(word)))]


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
        # The loader in C, where there is one, takes a tenth of the time.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        entries: dict[str, Any] = yaml.load(PATH.read_text(encoding="utf-8"), loader)  # noqa: S506 - a safe one
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
