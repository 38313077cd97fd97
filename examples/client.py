"""Classify a document, ask about it, and correct what was wrong, with IntakeClient.

pip install './core/contract[client]'
python examples/client.py file:///srv/inbox/4711.pdf [RIGHT_CLASS]
"""

import os
import sys

from docintake_contract import IntakeClient, IntakeError

# A client for the whole process: it may be used by many threads. An app of your own does as well: IntakeClient(app).
client = IntakeClient(
    os.environ["DOCINTAKE_BROKER__URL"], key_prefix=os.environ.get("DOCINTAKE_BROKER__KEY_PREFIX", "")
)


def main() -> int:
    uri, *right = sys.argv[1:]
    # Both are on their way before either is waited for.
    classified = client.classify(uri, external_id="case-4711", metadata={"tenant": "acme"}, priority="urgent")
    asked = client.answer(uri, ["How many pages are there?", "What is the total amount?"], external_id="case-4711")
    try:
        result = classified.get(timeout=120)
        answers = asked.get(timeout=120).answers
    except IntakeError as error:
        # rejected: mend the request or the document; failed: tell docintake's operator.
        print(f"{error.kind} {error.code}: {error.message}")
        return 1
    print(f"{result.prediction} {result.confidence:.2f} {result.status}", *result.reasons)
    for answer in answers:
        print(f"{answer.question} {answer.answer or answer.status}")
    if right and right[0] != result.prediction:
        # A person knows better: docintake learns from that.
        kept = client.correct(right[0], task_id=result.task_id, by="ann").get(timeout=120)
        print(f"label {kept.correction_id}: {kept.label}, not {kept.previous}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
