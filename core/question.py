"""What a question asks for: its kind, what an answer looks like, a claim to verify."""

from dataclasses import dataclass
from typing import Final, Literal

from core.contract.answer import QuestionKind

Expected = Literal[
    "date",
    "time",
    "amount",
    "number",
    "percent",
    "identifier",
    "person",
    "organisation",
    "address",
    "country",
    "phone",
    "email",
    "url",
    "text",
]
"""What an answer looks like; `text` where the question does not tell."""

Relation = Literal[
    "equals", "greater", "at_least", "less", "at_most", "between", "before", "after", "in", "contains", "exists"
]
TODAY: Final = "today"
"""The target of a claim about the day on which it is asked, such as `Has the passport expired?`"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a verification question claims: that `subject` stands in `relation` to `target`.

    `Is the total greater than $100?` → total, greater, $100; `Was this purchase made in 2023?` → purchase date,
    in, 2023; `Does this receipt contain milk?` → (empty), contains, milk; `Is there a signature?` → (empty),
    exists, signature; `Is this an invoice?` → document type, equals, invoice; `Are there more than 3 items?` →
    number of items, greater, 3.
    """

    subject: str
    relation: Relation
    target: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question as understood. `subject` is what it asks for in its own words, such as `invoice number`."""

    text: str
    kind: QuestionKind
    expects: Expected
    subject: str
    claim: Claim | None = None
