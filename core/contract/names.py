"""Task and queue names as they stand on the wire."""

from typing import Final

CLASSIFY: Final = "docintake.classify"
CLASSIFY_MANY: Final = "docintake.classify_many"
CORRECT: Final = "docintake.correct"
ANSWER: Final = "docintake.answer"
RETRAIN: Final = "docintake.retrain"

QUEUES: Final = {
    CLASSIFY: "classify",
    CLASSIFY_MANY: "classify",
    CORRECT: "classify",
    ANSWER: "qa",
    RETRAIN: "retrain",
}
"""Task name → the queue it is sent to."""

PRIORITIES: Final = {"urgent": 0, "normal": 3, "bulk": 9}
"""Name → Redis broker priority. 0 is served first, and is what a message without a priority has."""
