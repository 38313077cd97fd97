"""Classify one document with Celery alone: nothing of docintake's is installed.

python examples/send_task.py file:///srv/inbox/4711.pdf
"""

import os
import sys
import time

from celery import Celery

BROKER = os.environ["DOCINTAKE_BROKER__URL"]
PREFIX = os.environ.get("DOCINTAKE_BROKER__KEY_PREFIX", "")

app = Celery("office", broker=BROKER, backend=BROKER)
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    broker_transport_options={"global_keyprefix": PREFIX},
    result_backend_transport_options={"global_keyprefix": PREFIX},
)


def main() -> int:
    sent = app.send_task(
        "docintake.classify",
        kwargs={"document": sys.argv[1], "external_id": "case-4711"},
        queue="classify",
        priority=3,  # 0 is urgent, 3 normal, 9 bulk
        headers={"sent_at": time.time()},  # so that its waiting is measured
        argsrepr="",  # so that monitors show nothing of what was asked
        kwargsrepr="document, external_id",
    )
    try:
        result = sent.get(timeout=120)
    except Exception as error:
        code, message = error.args
        print(f"{type(error).__name__} {code}: {message}")
        return 1
    print(f"{result['prediction']} {result['confidence']:.2f} {result['status']}", *result["reasons"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
