"""What a question asks for: its kind, what an answer looks like, and in whose words."""

from dataclasses import dataclass
from typing import Literal

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

Relation = Literal["equals", "greater", "at_least", "less", "at_most", "in", "contains", "exists"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a verification question claims: that `subject` stands in `relation` to `target`.

    `Is the total greater than $100?` → total, greater, $100; `Was this purchase made in 2023?` → purchase date,
    in, 2023; `Does this receipt contain milk?` → (empty), contains, milk; `Is there a signature?` → (empty),
    exists, signature.
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
