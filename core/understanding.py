"""Understanding a question as people type it: what it asks for, and in whose words."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from core.question import TODAY, Claim, Expected, Question, Relation

_LEXICON: Final = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
_DOCUMENTS: Final[list[str]] = _LEXICON["documents"].split()
_COMPOUNDS: Final[list[str]] = _LEXICON["compounds"].split()
_HEADS: Final[dict[str, Expected]] = {
    word: expected
    for heads in (_LEXICON["heads"], _LEXICON["foreign_heads"])
    for expected, words in heads.items()
    for word in words.split()
}
_ENDINGS: Final[dict[str, Expected]] = _LEXICON["endings"]
_ORGANISATIONS: Final = {word for word, expected in _HEADS.items() if expected == "organisation"} - {"office"}
_THINGS: Final = {"product", "item", "file", "drug", "medication", "project", "form", "program", "plan", "course"}
_FIELD_WORDS: Final = {*_HEADS, *_DOCUMENTS, *_COMPOUNDS, *_LEXICON["fields"].split()}
_CORRECTABLE: Final = [
    *dict.fromkeys(
        [*_LEXICON["common"].split(), *" ".join(_LEXICON["heads"].values()).split(), *_DOCUMENTS, *_COMPOUNDS]
    )
]
_VOCABULARY: Final = {*_CORRECTABLE, *_LEXICON["lookalikes"].split()}

_DOCUMENT: Final = rf"(?:(?:{'|'.join(_COMPOUNDS)})\s)?(?:{'|'.join(_DOCUMENTS)})s?\b"
_AUXILIARY: Final = r"(?:is|are|was|were|be|been|do|does|did|has|have|had|can|could|will|would|should|must|shall)"
_ARTICLE: Final = (
    r"(?:the|an?|this|that|my|your|our|its|their|his|her|der|die|das|dem|den|des|le|la|les|l'|el|los|du)\s"
)
_EDGES: Final = " \t\"'\u2018\u2019\u201c\u201d«»¿¡?!.,;:[]{}*_`"
_COUNTS: Final = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_NUMBER_WORDS: Final = {*_COUNTS.split("|"), "zero", "hundred", "thousand", "million"}
_NAMES_OF_MONTHS: Final = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?"
)
# Letters that are mistaken for each other: neighbours on a keyboard, and vowels.
_NEAR: Final = [
    set("aeiouy"),
    *(set(row[i : i + 2]) for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm") for i in range(9)),
]
_PERIOD: Final = re.compile(
    rf"(?i)(?:the )?(?:(?:19|20)\d\d|q[1-4] (?:19|20)\d\d|today|\d{{1,4}}[-/.]\d{{1,2}}(?:[-/.]\d{{2,4}})?"
    rf"|(?:\d{{1,2}}(?:st|nd|rd|th)?(?: of)? )?(?:{_NAMES_OF_MONTHS})\.?"
    r"(?: \d{1,2}(?:st|nd|rd|th)?,?)?(?: \d{4})?)"
    r"(?=$|[ ,])"
)
_MONEY: Final = re.compile(
    r"(?i)[$€£¥₹]|\b(?:usd|eur|gbp|chf|inr|rm|rs|myr|jpy|cad|aud|dollars?|euros?|pounds?|rupees?|yen|francs?|bucks)\b"
)

_FOREIGN: Final = [
    (re.compile(rf"(?:{foreign})(?: |$)"), english) for foreign, english in _LEXICON["foreign"].items()
]
_PREAMBLE: Final = re.compile(
    rf"""(?:
      (?:hi|hello|hey|please|kindly|pls|ok|okay|so|and|now|also|then)\b
    | (?:can|could|would|will)\ (?:you|u|we|i)\ (?:please\ |kindly\ )?(?=\w)
      (?!\ ?(?:see|pay|cancel|return))(?:help\ me\ )?(?:to\ )?
    | (?:i|we)(?:'d|\ would)?\ (?:want|need|like|wish|have)\ to\ (?:know|find\ out|see|get|ask|understand)(?:\ about)?
    | (?:do|does)\ (?:you|anyone)\ know | (?:i|we)\ need | i'm\ looking\ for | i\ am\ looking\ for
    | (?:according\ to|based\ on|from|in|on|per|as\ per|looking\ at|given|for)
      \ (?:this|the|that|above|attached|enclosed)\ (?:given\ |attached\ )?{_DOCUMENT}
    | (?:give|show|tell|find|extract|return|get|provide|identify|retrieve|locate|fetch|determine|print|report|output
        |look\ up|point\ out|detect|read|specify|write|copy)(?:\ out)?(?:\ (?:me|us))?(?:\ about)?(?=\ )
    | (?:list|state|name)(?:\ (?:me|us))?(?=\ (?:the|all|every|what|who|when|where))
    | question (?=\ )
    )\s*""",
    re.VERBOSE,
)
_POSTAMBLE: Final = re.compile(
    r"\s(?:please|pls|thanks|thank you|right|correct|true or false|yes or no|or not|then|exactly|in total|overall)$"
)
_WH: Final = re.compile(
    r"(?:(?:to|from|for|by|on|in|at|with|of|until) )?(?:what|which|who|whom|whose|where|when|why|how)\b"
)
_OPENING: Final = re.compile(
    rf"""^(?:
      how\ (?:much|many|old|long|often|far|tall|heavy|big|large|high)(?:\ (?:money|time))?(?:\ {_AUXILIARY})*
    | (?:(?:to|from|for|by|on|in|at|with|of|until|under|through)\ )?(?:who|whom|where|when|why|how)(?:\ {_AUXILIARY})*
    | (?:(?:to|from|for|by|on|in|at|with|of|until|under|through)\ )?(?:what|which|whose)(?:\ (?:kind|type|sort)\ of)?
      (?:\ {_AUXILIARY})*
    )\b\s*""",
    re.VERBOSE,
)
# A party by what it does: `bill to`, `signed by`.
_ROLE: Final = re.compile(
    r"^(?:bill|ship|sold|deliver|remit|pay|payable|addressed|issued|made out)\w*[ -]to\b(.*)"
    r"|\b(?:signed|written|issued|prepared|approved|served|sold|sent|submitted) by$"
)
# The noun after `which`: up to its verb, or alone.
_NAMED: Final = re.compile(
    rf"(?:(?:to|from|for|by|on|in|at|with|of|until|under|through) )?(?:what|which) (?!{_AUXILIARY}\b)"
    rf"((?:\S+ ){{0,3}}?\S+(?= {_AUXILIARY}\b)|\S+)"
)
_PLACED: Final = (
    r"(?:shown|stated|printed|written|listed|given|mentioned|indicated|found|specified|displayed|present|visible"
    r"|provided|described|noted|appearing|appears?|included)"
)
_HERE: Final = re.compile(
    rf"""\s*\b(?:
      (?:(?:as\ )?{_PLACED}\ )?
      (?:on|in|from|at|of|for|within|inside|by)\ (?:this|that|these|those|my|our)\ (?:\w+\ )?{_DOCUMENT}
    | (?:(?:as\ )?{_PLACED}\ )?
      (?:on|in|from|at|within|inside)\ (?:the|an?)\ {_DOCUMENT}
    | (?:of|for|by)\ the\ (?:document|doc|page|file|text|image|picture|scan)
    | (?:shown|printed|listed|mentioned|indicated|specified|displayed|here|on\ it|in\ it
        |on\ here|in\ here|anywhere|in\ there)
    )(?:\s(?:here|above|below))?$
    | \s*\bthis\ {_DOCUMENT}$
    | ^(?:this|the\ (?:document|page|file))\s
      (?=(?:issued|signed|dated|written|expire|valid|created|sent|about|made)\b)
    """,
    re.VERBOSE,
)
_DOCUMENT_TYPE: Final = re.compile(
    rf"""^(?:
      (?:what|which)\ (?:kind|type|sort|category|class)\ of\ (?:a\ )?(?:{_DOCUMENT})
      (?:\ (?:is|are|was|am|does|do|have|has|did)\b.*|\ (?:this|it)(?:\ is)?|)$
    | (?:what|which)\ {_DOCUMENT}\ (?:is|are)\ (?:this|it)$
    | (?:what|which)\ (?:kind|type|sort|category|class)\ (?:of\ (?:thing|file|item)\ )?(?:is|does|has)
      \ (?:this|it|the\ document|this\ document)(?:\ (?:document|belong\ to|of|have|fall\ (?:into|under)))?$
    | (?:what|which)\ (?:document|doc)\ (?:type|kind|category|class|genre)?\ ?(?:is|are|am|do|have)\b
      (?:\ (?:this|it|that|here|we|i)\b.*)?$
    | what\ (?:is|are|am|was)
      \ (?:i\ (?:looking\ at|seeing|reading)(?:\ here)?|it|the\ document
        |(?:this|that)(?:\ (?:document|page|file|paper|scan|image))?)$
    | (?:what\ (?:is|would\ be)\ )?(?:the\ )?(?:document|doc|file)\s?(?:type|kind|class|category|classification)
      (?:\ (?:of|for)\ (?:this|the)(?:\ \w+)?|\ is\ (?:this|it))?$
    | (?:what\ (?:is|would\ be)\ )?(?:the\ )?(?:type|kind|sort|class|category|nature)\ of\ (?:this\ |the\ )?
      (?:document|doc|paper|file|form|page)(?:\ (?:is\ )?(?:this|it|here)(?:\ is)?|\ is)?$
    | this\ document$
    | (?:classify|categori[sz]e|label)\ (?:this|the|it)\b.*
    | what\ (?:does|do)\ (?:this|the)\ (?:document|page|file|scan)\ represent$
    | (?:how\ would\ you\ |how\ to\ )(?:classify|categori[sz]e|call)\ (?:this|the)\b.*
    | what\ (?:would\ you\ call|do\ you\ call|is)\ (?:this|the)\ (?:(?:kind|type)\ of\ )?document(?:\ called)?$
    )""",
    re.VERBOSE,
)
_COUNT: Final = re.compile(
    r"""(?:
      (?:(?:for|in|on|at|to|of|from|by|with)\ )?how\ many\b\ ?(?:of\ )?
    | (?P<what>(?:what|which)\ (?:is|are|was|were)\ (?:the\ )?(?:total\ |overall\ |exact\ )?
        (?:number|count|quantity|no|\#|amount)\ of
      | (?:the\ )?(?:total\ |overall\ )?(?:number|count|quantity|no|\#|nr)\ of)\s
    | count\ (?:up\ )?(?:of\ )?(?=\w)
    )(?P<things>.+)$""",
    re.VERBOSE,
)
_COUNT_NAME: Final = re.compile(
    r"(?P<what>)(?:what is |what was )?(?:the )?"
    r"(?P<things>page|item|line item|product|transaction|row|word|guest|article|piece)s? count$"
)
_COUNTABLE: Final = re.compile(
    r"(?:[\w'-]+ ){0,2}?(?:\w*[^su\W]s|people|children|persons|boxes|businesses|classes)\b"
)

_GREATER: Final = r"greater|more|higher|larger|bigger"
_LESS: Final = r"less|lower|smaller|fewer|cheaper"
_COMPARISONS: Final[tuple[tuple[str, Relation], ...]] = (
    (r"between", "between"),
    (
        rf"(?:at least|(?:no|not) (?:less|fewer|lower) than|(?:{_GREATER}) than or equal to|a minimum of)",
        "at_least",
    ),
    (
        rf"(?:at most|(?:no|not) (?:more|greater|higher) than|up to|(?:{_LESS}) than or equal to|a maximum of)",
        "at_most",
    ),
    (
        rf"(?:(?:{_GREATER}|later|older|newer|taller|heavier) than|over|above|exceeds?|in excess of|beyond)",
        "greater",
    ),
    (rf"(?:(?:{_LESS}|earlier|younger) than|under|below|beneath)", "less"),
    (r"(?:before|prior to|until|by the end of|no later than)", "before"),
    (r"(?:after|since|from after)", "after"),
)
_SIGNS: Final[dict[Relation, str]] = {"at_least": ">=|≥", "at_most": "<=|≤", "greater": ">", "less": "<"}
_STATED: Final = re.compile(rf"\b(?:(?:{_GREATER}|{_LESS}) than|exceeds?|at least|at most)\b|[<>≤≥]")
_CLAIM: Final = re.compile(
    r"""(?:
      (?:whether|if|check|verify|confirm|ensure|validate|true\ or\ false|yes\ or\ no)\b
      (?:\ (?:whether|if|that)\b)?(?:\ the\ fact\ that)?\ (?P<statement>)
    | is\ it\ (?:true|correct|the\ case|right)\ that\ (?P<said>)
    | (?:is|are|was|were|does|do|did|has|have|had|will|would|should|must|can|could|may)(?:\ not)?\s
    )(?P<rest>.+)$""",
    re.VERBOSE,
)
_CALLED: Final = re.compile(
    r"(?:it|this|that|(?:this|the|that) (?:document|doc|file|page|paper|form|image|scan|text))(?: really| actually)?"
    rf"(?: be)? (?:an?|some (?:kind|sort) of|one of the|type) (?P<type>.+)|(?:this|that|it) (?P<name>{_DOCUMENT})"
)
_THERE: Final = re.compile(
    r"there (?:(?:an?|any|some|the|another) )?"
    r"(?P<word>(?:mention|reference|indication|sign|trace|evidence|word|record)s? (?:of|to) (?:the |an? |any )?)?"
    r"(?P<target>.+)"
)
_SOMEBODY: Final = r"(?:i|we|they|he|she|(?:the )?(?:customer|buyer|client|holder|company|patient|applicant))"
_CONTAINING: Final = re.compile(
    rf"(?:(?:it|this|that|there|{_SOMEBODY}|(?:(?:this|the|that|my|our) )?(?:\w+ )?{_DOCUMENT})\s)?"
    r"(?:also |actually |explicitly |ever )?"
    r"(?P<verb>contain|include|mention|list|show|feature|display|have|refer to|say|state|carry|bear|name|cover"
    r"|specify|provide|give|offer|sell|buy|order|purchase|get|bought|ordered|purchased|allow|permit|require"
    r"|accept)(?:s|es|ing|ed)? "
    r"(?:the (?:words?|phrase|name|term) |any |an? |the |some )*(?P<target>.+)"
)
_CONTAINED: Final = re.compile(
    r"(?:(?:the )?(?:words?|phrase|term|name) |any |an? |the )?(?P<target>.+?) (?:also )?"
    r"(?:(?:listed|mentioned|included|shown|present|named|printed|found|written|stated|given|available|specified"
    r"|appears?|bought|purchased|ordered|sold|charged|part|one|allowed"
    r"|permitted|required|accepted)\b)?"
    r"(?: ?(?:on|in|of|anywhere|among|there|here)\b(?: (?:the|this|that|my)?)?"
    rf"(?: ?(?:{_DOCUMENT}|items?|list|products|text|order))?)?"
)
_PAYING: Final = re.compile(
    rf"(?:it|this|that|{_SOMEBODY}|(?:this )?{_DOCUMENT})(?: (?:pay|paid|spend|spent|owe))?|.*\bpay"
)
_MARKS: Final = {
    "signed": "signature",
    "stamped": "stamp",
    "notarized": "notary",
    "notarised": "notary",
    "sealed": "seal",
    "witnessed": "witness",
}
_ROLES: Final[dict[str, Expected]] = {
    "in": "address",
    "at": "address",
    "by": "person",
    "to": "person",
    "from": "organisation",
}
_STATES: Final = {
    **dict.fromkeys(("male", "female", "man", "woman"), "sex"),
    **dict.fromkeys(("married", "single", "divorced", "widowed"), "marital status"),
}
_DATED: Final = (
    (r"\b(?:purchase|transaction|payment|order|sale)\b.*|\b(?:bought|purchased|buy)\b", "purchase date"),
    (r"\bborn\b", "date of birth"),
    (r"\b(?:issued|issue)\b(?! date)", "issue date"),
    (r"\b(?:expire|expires|expiring|expired|valid|run out|lapse)\b(?! date)", "expiry date"),
    (r"\bdue\b(?! date)", "due date"),
    (r"\b(?:shipped|dispatched)\b", "shipping date"),
    (r"\bdelivered\b", "delivery date"),
    (r"\b(?:signed)\b", "date signed"),
    (r"\b(?:paid)\b", "payment date"),
    (r"\b(?:dated|written|sent|created|printed|published|made out|typed)\b(?! date)", "date"),
)
_OPENINGS: Final[tuple[tuple[str, Expected], ...]] = (
    (r"^(?:at |by |until |from )?what time\b", "time"),
    (
        r"^(?:on |by |from |until |in |for )?(?:what|which) (?:exact )?(?:date|day|month|year)\b"
        r"|^(?:since |until |by )?when\b",
        "date",
    ),
    (r"^how (?:old|tall|heavy|big|large)\b", "number"),
    (r"\bwhom$", "person"),
    (r"^how many (?:percent|per cent)\b|^(?:what|which) percentage\b", "percent"),
    (r"^how much\b(?!.*\b(?:weigh|weight)\b)|^how many (?:dollars|euros|pounds|rupees)\b", "amount"),
    (r"^(?:in |from |to |of |by )?(?:what|which) country\b", "country"),
    (r"^(?:in |at |on )?(?:what|which) (?:address|street|place|location)\b|^where\b", "address"),
    (
        r"^(?:to |from |by |for |at |of |in |with )?(?:what|which) "
        r"(?:company|companies|bank|vendor|store|shop|organi[sz]ation|airline|firm"
        r"|supplier|merchant|agency|authority|employer|court|university|restaurant|hospital)\b",
        "organisation",
    ),
    (
        r"^(?:to |from |by |for |with |of )?(?:who|whom|whose(?! (?:address|phone|number|email)))\b",
        "person",
    ),
)


def _shortened(word: str) -> Iterator[str]:
    """The word, and the word without each of its letters: two words one edit apart share one of these."""
    yield word
    for index in range(len(word)):
        yield word[:index] + word[index + 1 :]


_SHORTENED: Final[dict[str, list[str]]] = {}
for _known in _CORRECTABLE:
    for _key in _shortened(_known):
        _SHORTENED.setdefault(_key, []).append(_known)


def understand(text: str) -> Question:
    """What a question in plain words asks for; anything that is no other kind is an extraction.

    Typing errors are corrected in words that questions are made of, never in what a claim compares with.
    """
    words = _words(text)
    words = _asked(_translated(words) or _corrected(words))
    words = _translated(words) or words
    plain = _plain(words)
    if _DOCUMENT_TYPE.search(plain):
        return Question(text, "document_type", "text", "document type")
    if claim := _claim(words):
        return Question(text, "verification", _claim_expects(claim), claim.subject or claim.target, claim)
    if (match := _COUNT.match(plain) or _COUNT_NAME.match(plain)) and (counted := _counted(match)):
        return Question(text, "counting", "number", counted)
    subject = _subject(plain)
    return Question(text, "extraction", _expects(plain, subject), subject)


@dataclass(frozen=True, slots=True)
class _Word:
    """A word as understood and as printed."""

    plain: str
    printed: str


def _words(text: str) -> list[_Word]:
    text = re.sub(r"(?i)\b(what|who|where|when|how|it|that)['\u2019]s\b", r"\1 is", text)
    text = re.sub(r"(?i)\b(is|was|does|did|has|are|do|were)n['\u2019]t\b", r"\1 not", text)
    printed = (word.strip(_EDGES) for word in text.split())
    return [_Word(word.lower().replace("\u2019", "'"), word) for word in printed if word]


def _plain(words: Sequence[_Word]) -> str:
    return " ".join(word.plain for word in words)


def _printed(words: Sequence[_Word]) -> str:
    return " ".join(word.printed for word in words)


def _part(words: Sequence[_Word], match: re.Match[str], group: str | int) -> Sequence[_Word]:
    """The words that a group of a match in their plain text stands for."""
    start, end = match.span(group)
    plain = match.string
    return words[plain[:start].count(" ") : plain[:end].rstrip().count(" ") + 1] if start < end else ()


def _corrected(words: Sequence[_Word]) -> list[_Word]:
    shouted = all(word.printed.isupper() for word in words if word.printed.isalpha())
    corrected = []
    for index, word in enumerate(words):
        is_name = index > 0 and word.printed[0].isupper() and not shouted
        after = words[index + 1].plain if index + 1 < len(words) else ""
        plain = word.plain if is_name else _spelt(word.plain, after)
        corrected.append(_Word(plain, word.printed if plain == word.plain else plain))
    return corrected


def _spelt(word: str, after: str) -> str:
    if word == "hwo":
        return "how" if after[:3] in ("man", "muc", "mnay", "mcu", "amn", "mna", "umc") else "who"
    if word in _LEXICON["slips"]:
        return str(_LEXICON["slips"][word])
    if not word.isalpha() or word in _VOCABULARY or word.removesuffix("s") in _VOCABULARY:
        return word
    candidates = {known for key in _shortened(word) for known in _SHORTENED.get(key, ())}
    edits = sorted((edit, known) for known in candidates if (edit := _edit(word, known)) is not None)
    return edits[0][1] if edits else word


def _edit(typed: str, meant: str) -> int | None:
    """How unlikely it is that one word was typed for the other by one slip, or None where it is none.

    Short words are near too many others for any slip but two letters swapped.
    """
    start = next(
        (index for index, (one, other) in enumerate(zip(typed, meant, strict=False)) if one != other),
        min(len(typed), len(meant)),
    )
    one, other = typed[start:], meant[start:]
    if one[:2] == other[:2][::-1] and one[2:] == other[2:] and len(one) > 1:
        return 0
    if len(meant) >= 5 and one[1:] == other:
        return 1
    if len(meant) >= 5 and one == other[1:]:
        return 1
    if len(meant) >= 6 and one[1:] == other[1:] and one and any({one[0], other[0]} <= keys for keys in _NEAR):
        return 2
    return None


def _translated(words: list[_Word]) -> list[_Word] | None:
    """With the question words of another language, which stand at its head, in English; None where it is English."""
    plain = _plain(words)
    for foreign, english in _FOREIGN:
        if match := foreign.match(plain):
            rest = words[match.group().rstrip().count(" ") + 1 :]
            return [*(_Word(word, word) for word in english.split()), *rest]
    return None


def _asked(words: list[_Word]) -> list[_Word]:
    """Without what a polite or thorough person puts around a question."""
    while match := _PREAMBLE.match(_plain(words)):
        words = words[len(match.group().split()) :]
    while match := _POSTAMBLE.search(_plain(words)):
        words = words[: len(_plain(words)[: match.start()].split())]
    return words


def _subject(plain: str) -> str:
    """What is asked for, without the words that make it a question and without the document itself."""
    subject = _OPENING.sub("", plain)
    subject = re.sub(rf"^{_ARTICLE}", "", subject)
    if match := re.fullmatch(
        rf"(number|date|id|name|title|total|amount|currency) of (?:the|this) ({_DOCUMENT})", subject
    ):
        return f"{match[2]} {match[1]}"
    subject = _HERE.sub("", subject)
    subject = re.sub(r"(?:\s+(?:is|are|was|were|does|do|did|has|have|say|says|it|there|what))+$", "", subject)
    subject = re.sub(rf"^(?:{_AUXILIARY}\b\s*)+", "", subject)
    subject = re.sub(rf"^{_ARTICLE}|^(?:i|we|you|it|they|he|she)\s", "", subject)
    subject = re.sub(rf"\s{_AUXILIARY}\s(?:{_ARTICLE}|(?:it|i|we|they)\s)?", " ", subject)
    return subject.strip(" -") or _OPENING.sub("", plain).strip() or plain


def _expects(plain: str, subject: str) -> Expected:
    for pattern, expected in _OPENINGS:
        if re.search(pattern, plain):
            if expected == "person" and any(word in _ORGANISATIONS for word in subject.split()):
                return "organisation"
            return expected
    if match := _NAMED.match(plain):
        return _type_of(match[1])
    return _type_of(subject)


def _type_of(subject: str) -> Expected:
    """By the last word that tells, before what it is of or for: a `due date of the total amount` is a date."""
    if match := _ROLE.search(subject):
        return "address" if "address" in (match[1] or "") else "person"
    head, *tail = re.split(r"\s(?:of|for|on|in|to|from|at|by|with|per|under|was|were|is|are|that)\s", subject)
    words = [word.removesuffix("'s").strip("-#") for word in head.replace("/", " ").split()]
    if words and words[-1] in ("name", "names", "nombre", "nom"):
        return _type_of_name({*words, *" ".join(tail).split()})
    for before, word in reversed([*zip(["", *words], words, strict=False)]):
        if word == "rate" and before in ("hourly", "daily", "weekly", "monthly", "nightly", "room", "pay"):
            return "amount"
        if word in ("number", "numbers", "no", "address") and _HEADS.get(before) in ("phone", "email", "url"):
            return _HEADS[before]
        if expected := _HEADS.get(word) or _HEADS.get(word.removesuffix("s")) or _ending(word):
            return expected
    return "text"


def _type_of_name(about: set[str]) -> Expected:
    if about & _ORGANISATIONS:
        return "organisation"
    return "text" if about & _THINGS else "person"


def _ending(word: str) -> Expected | None:
    return next((expected for ending, expected in _ENDINGS.items() if word.endswith(ending)), None)


def _counted(match: re.Match[str]) -> str | None:
    """What is to be counted; None where it is a number's name: `the number of the invoice`."""
    things = match["things"]
    if match["what"] and not _COUNTABLE.match(things):
        return None
    if re.match(r"(?:dollars?|euros?|pounds?|rupees?|percent|per cent)\b", things):
        return None
    things = re.sub(rf"^{_ARTICLE}|^(?:different|distinct|individual|separate)\s", "", things)
    things = re.sub(r"\s(?:wurden|sind|gibt es|hay|tiene|a-t-il|y a-t-il)\b.*", "", _HERE.sub("", things))
    things = re.sub(
        rf"\s(?:do|does|did)\s(?:the|this)\s(?!word|phrase|name|term)(?:{_DOCUMENT}|\w+)", " ", f"{things} "
    )
    things = re.sub(rf"\s{_AUXILIARY}\s(?:(?:there|it|this|the {_DOCUMENT}|they|i|we|you)\b\s?)?", " ", things)
    things = re.sub(r"\s(?:there|have|has|had|contain|be|been|in total|total|altogether|are|is)(?=\s|$)", " ", things)
    return " ".join(things.split()) or None


def _claim(words: Sequence[_Word]) -> Claim | None:
    plain = _plain(words)
    if not (match := _CLAIM.match(plain)):
        if _STATED.search(plain) and not _WH.match(plain):
            return _compared(words, plain)
        return None
    words = _part(words, match, "rest")
    if match["statement"] is not None or match["said"] is not None:
        verb = next((index for index, word in enumerate(words) if re.fullmatch(_AUXILIARY, word.plain)), len(words))
        words = [*words[:verb], *words[verb + 1 :]]
    plain = _plain(words)
    if match := re.match(
        r"(?:it|this|the) ?(?:\w+ )?(?:say|state|mention|show|specif|indicate)\w* (?=what|who|when|where|how)", plain
    ):
        return None
    if not words:
        return None
    return (
        _of_document(words, plain)
        or _of_validity(plain)
        or _of_number(words, plain)
        or _compared(words, plain)
        or _of_time(words, plain)
        or _of_payment(words, plain)
        or _of_existence(words, plain)
        or _of_content(words, plain)
        or _equated(words, plain)
    )


def _of_document(words: Sequence[_Word], plain: str) -> Claim | None:
    """`this an invoice`"""
    if match := _CALLED.fullmatch(plain):
        return Claim("document type", "equals", _printed(_part(words, match, "type" if match["type"] else "name")))
    return None


def _of_validity(plain: str) -> Claim | None:
    """`Has the passport expired?`"""
    if re.search(r"\b(?:expired|out of date|outdated|overdue|past due|lapsed)$", plain):
        field = "due date" if re.search(r"\b(?:overdue|past due)$", plain) else "expiry date"
        return Claim(field, "before", TODAY)
    if re.search(r"\b(?:(?:still|currently|yet) (?:valid|in force|good)|valid|unexpired)(?: today| now)?$", plain):
        return Claim("expiry date", "after", TODAY)
    return None


def _of_number(words: Sequence[_Word], plain: str) -> Claim | None:
    """`Are there more than three items?`"""
    for pattern, relation in (*_COMPARISONS, (r"exactly|just|only", "equals"), (r"", "equals")):
        leading = (
            rf"(?:there|it|this|(?:the|this) {_DOCUMENT}) ?(?:have|has|contain|contains|list|lists|include|includes)?"
        )
        if match := re.fullmatch(rf"{leading} ?(?:{pattern}) ?(?P<number>\d+|{_COUNTS}) (?P<things>[^\d]+)", plain):
            things = _counted_things(match["things"])
            if things.endswith("s") or things in ("people", "children"):
                return Claim(f"number of {things}", relation, _printed(_part(words, match, "number")))
    return None


def _counted_things(things: str) -> str:
    return _HERE.sub("", things).strip()


def _compared(words: Sequence[_Word], plain: str) -> Claim | None:
    """`the total greater than $100`, `it dated before March 2020`"""
    for pattern, relation in _COMPARISONS:
        if match := re.fullmatch(rf"(?P<subject>.*?)\s?\b(?:{pattern})\s(?P<target>.+)", plain) or re.fullmatch(
            rf"(?P<subject>.*?)\s?(?:{_SIGNS.get(relation, '(?!)')})\s?(?P<target>.+)", plain
        ):
            target = _printed(_part(words, match, "target"))
            if _PERIOD.search(target) and not _MONEY.search(target):
                in_time: Relation = {"greater": "after", "less": "before"}.get(relation, relation)  # type: ignore[assignment]
                return Claim(_dated(match["subject"]), in_time, target)
            if relation in ("before", "after"):
                continue
            if re.search(r"\d", target) or any(word in target.lower().split() for word in _NUMBER_WORDS):
                subject = match["subject"]
                is_age = _type_of(_stripped(subject)) == "person" and not _MONEY.search(target)
                return Claim("age" if is_age else _measured(subject), relation, target)
    return None


def _of_time(words: Sequence[_Word], plain: str) -> Claim | None:
    """`this purchase made in 2023`, `the invoice dated 3 May 2020`"""
    if match := re.fullmatch(
        r"(?P<subject>.*?)\s?\b(?:in|on|during|within|from|for|of|dated|as of)\s(?P<target>.+)", plain
    ):
        target = _printed(_part(words, match, "target"))
        if _PERIOD.fullmatch(re.sub(r"(?i)^(?:the |year |month of |early |late )+", "", target)):
            subject = "dated" if " dated " in f" {plain[: match.start('target')]}" else match["subject"]
            return Claim(_dated(subject), "in", target)
    return None


def _of_payment(words: Sequence[_Word], plain: str) -> Claim | None:
    """`it paid by credit card`"""
    if match := re.search(
        r"\b(?:paid|pay|settled|payment)(?: made)? (?:by|with|in|via|using|through) (?:an? )?(?P<target>.+)$", plain
    ):
        subject = "currency" if _MONEY.fullmatch(match["target"]) else "payment method"
        return Claim(subject, "equals", _printed(_part(words, match, "target")))
    return None


def _of_existence(words: Sequence[_Word], plain: str) -> Claim | None:
    """`there a signature`, `the contract signed`"""
    if match := re.search(r"\b(signed|stamped|notari[sz]ed|sealed|witnessed)$", _HERE.sub("", plain)):
        return Claim("", "exists", _MARKS[match[1]])
    if match := _THERE.match(plain):
        return Claim("", "contains" if match["word"] else "exists", _within(words, plain, match.start("target")))
    return None


def _of_content(words: Sequence[_Word], plain: str) -> Claim | None:
    """`this receipt contain milk`, `milk on the receipt`"""
    if match := _CONTAINING.match(plain):
        target = _within(words, plain, match.start("target"))
        is_mark = match["verb"] == "have" and target.lower() in _MARKS.values()
        return Claim("", "exists" if is_mark else "contains", target)
    if (match := _CONTAINED.fullmatch(plain)) and match.end("target") < len(plain):
        return Claim("", "contains", _printed(_part(words, match, "target")))
    return None


def _within(words: Sequence[_Word], plain: str, start: int) -> str:
    """The printed words from a place on, without the document that they are looked for in."""
    words = words[plain[:start].count(" ") :]
    kept = _HERE.sub("", _plain(words)).split()
    return _printed(words[: len(kept)])


def _equated(words: Sequence[_Word], plain: str) -> Claim:
    """`the vendor Walmart`: what it is ends where a value or a name starts."""
    if match := re.search(
        r"\b(?:equal(?:s|ed)? (?:to )?|the same as |identical to |match(?:es)? |exactly |called |named )", plain
    ):
        before, after = plain[: match.start()], words[len(plain[: match.end()].split()) :]
        if before and after:
            return Claim(_measured(before), "equals", _printed(after))
    if (
        (match := re.fullmatch(r"(?P<target>.+?) (?:the|an?) (?P<subject>[^\d]+)", plain))
        and words[0].printed[0].isupper()
        and all(map(_is_of_field, _part(words, match, "subject")))
    ):
        return Claim(_stripped(match["subject"]), "equals", _printed(_part(words, match, "target")))
    if match := re.fullmatch(r"(?P<subject>.+ (?:by|to|from|in|at|with)) (?P<target>.+)", plain):
        target = _part(words, match, "target")
        if target[0].plain == "the" and len(target) > 1 and target[1].printed[0].isupper():
            target = target[1:]
        if target[0].plain not in ("the", "this", "a", "an"):
            return Claim(_stripped(match["subject"]), "equals", _printed(target))
    return _parted(words)


def _parted(words: Sequence[_Word]) -> Claim:
    """`vendor | Walmart`, `total | $100`; what is no field's name and value is looked for as it stands."""
    if re.match(rf"{_ARTICLE}|it\s", _plain(words)):
        words = words[1:]
    shouted = all(word.printed.isupper() for word in words if word.printed.isalpha())
    known = 0
    while known < len(words) and _is_of_field(words[known]) and words[known].plain not in ("a", "an"):
        known += 1
    target = words[known:]
    if not target or not known:
        return Claim("", "contains", _stripped(_printed(words)))
    subject = _stripped(_plain(words[:known]))
    if target[0].plain in _STATES:
        return Claim(_STATES[target[0].plain], "equals", target[0].printed)
    is_named = bool(re.match(r"[($€£¥₹-]*\d|[A-Z]{2,3}\$?\d|[$€£¥₹]", target[0].printed)) or (
        target[0].printed[0].isupper() or shouted
    )
    # Paid, delivered, refundable: what somebody or something is, not what a field holds.
    is_field = subject.split()[-1] in _HEADS and not re.match(r"been$|an?$|\w+ed$", target[0].plain)
    if is_named or (is_field and _type_of(subject) in ("text", "country", "organisation", "identifier")):
        return Claim(subject, "equals", _printed(target))
    return Claim("", "contains", re.sub(r"^(?:been|an?) ", "", _printed(target)))


def _is_of_field(word: _Word) -> bool:
    plain = word.plain.removesuffix("'s")
    return plain in _FIELD_WORDS or plain.removesuffix("s") in _FIELD_WORDS


def _stripped(subject: str) -> str:
    subject = re.sub(rf"^(?:{_ARTICLE}|it\s)", "", _HERE.sub("", subject), flags=re.IGNORECASE)
    return re.sub(r"\s(?:is|are|was|were)$", "", subject).strip()


def _measured(subject: str) -> str:
    """The field that is compared with a number; what somebody pays is the total."""
    subject = re.sub(r"\b(?:is|are|was|were|be|costs?|(?:amount|come)s? to)$", "", subject.strip())
    subject = _stripped(subject)
    return "total" if not subject or _PAYING.fullmatch(subject) else subject


def _dated(subject: str) -> str:
    """The field that holds when something happened."""
    for pattern, field in _DATED:
        if re.search(pattern, subject):
            return field
    subject = _stripped(
        re.sub(r"\b(?:take place|happen|occur|made|done|be|been|took|is|was|fall)$", "", subject.strip())
    )
    if subject in ("", "it", "this", "that", "document", "page"):
        return "date"
    return subject if "date" in subject.split() else f"{subject} date"


def _claim_expects(claim: Claim) -> Expected:
    if claim.relation in ("before", "after", "in") or (
        claim.relation == "between" and claim.subject.endswith("date")
    ):
        return "date"
    if claim.relation in ("contains", "exists") or claim.subject == "document type":
        return "text"
    if claim.subject.startswith("number of "):
        return "number"
    if _MONEY.search(claim.target) and re.search(r"\d", claim.target):
        return "amount"
    if (preposition := claim.subject.rpartition(" ")[2]) in _ROLES:
        return _ROLES[preposition]
    expected = _expects(claim.subject, claim.subject)
    return expected if claim.relation == "equals" or expected != "text" else "number"
