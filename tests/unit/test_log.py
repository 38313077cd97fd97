"""The log of a process of its own, since logging is set up for a whole process."""

import json
import subprocess
import sys
from typing import Any

PRIVATE = "Anna Example, IBAN DE02"


def logged(script: str) -> list[dict[str, Any]]:
    """What a process that runs this script writes to its standard error, line by line."""
    prelude = (
        "import logging, warnings\nimport structlog\nfrom core.errors import TransientFailure\n"
        f"from worker.log import configure_log\nPRIVATE = {PRIVATE!r}\nconfigure_log()\n"
    )
    done = subprocess.run([sys.executable, "-c", prelude + script], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert PRIVATE not in done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_our_lines_and_the_libraries_are_json_alike() -> None:
    ours, theirs, warned = logged(
        "structlog.get_logger().info('job ended', code='x')\n"
        "logging.getLogger('kombu').error('away: %s', 'redis')\n"
        "warnings.warn('soon gone')\n"
    )
    assert (ours["event"], ours["code"], ours["level"]) == ("job ended", "x", "info")
    assert (theirs["event"], theirs["logger"]) == ("away: redis", "kombu")
    assert "soon gone" in warned["event"]
    assert all("timestamp" in line for line in (ours, theirs, warned))


def test_what_celery_s_processes_die_of_is_said_once_and_in_the_same_way() -> None:
    (line,) = logged(
        "from billiard import util\n"
        "util.get_logger().error('Process %r exited with %r', 'ForkPoolWorker-1', 'signal 9')\n"
        "util.info('process shutting down')\n"
    )
    assert (line["event"], line["level"]) == ("Process 'ForkPoolWorker-1' exited with 'signal 9'", "error")


def test_an_exception_is_logged_with_its_causes_but_without_what_libraries_say_of_values() -> None:
    (line,) = logged(
        "try:\n"
        "    try:\n"
        "        document = PRIVATE\n"
        "        raise KeyError(document)\n"
        "    except KeyError as error:\n"
        "        raise TransientFailure('fetch_failed', 'try again') from error\n"
        "except TransientFailure:\n"
        "    structlog.get_logger().exception('no luck')\n"
    )
    outer, inner = line["exception"]
    assert (outer["type"], outer["says"]) == ("core.errors.TransientFailure", "fetch_failed: try again")
    assert inner["type"] == "builtins.KeyError"
    assert "says" not in inner
    assert inner["frames"] == ["<string>:10 <module>"]


def test_a_cause_that_was_cut_off_is_not_logged() -> None:
    (line,) = logged(
        "try:\n"
        "    try:\n"
        "        raise KeyError(PRIVATE)\n"
        "    except KeyError:\n"
        "        raise ValueError from None\n"
        "except ValueError:\n"
        "    logging.getLogger('kombu').exception('no luck')\n"
    )
    assert [error["type"] for error in line["exception"]] == ["builtins.ValueError"]


def test_messages_that_celery_cannot_use_are_named_and_not_printed() -> None:
    unknown, invalid, undecodable, foreign = logged(
        "from celery.worker.consumer import consumer\n"
        "say = logging.getLogger(consumer.__name__)\n"
        "say.error(consumer.UNKNOWN_TASK_ERROR, KeyError('docintake.answer'), PRIVATE, PRIVATE, {})\n"
        "say.error(consumer.INVALID_TASK_ERROR, ValueError(PRIVATE), PRIVATE)\n"
        "say.critical(consumer.MESSAGE_DECODE_ERROR, ValueError(PRIVATE), 'x', 'y', PRIVATE, PRIVATE)\n"
        "say.warning(consumer.UNKNOWN_FORMAT, PRIVATE)\n"
    )
    assert unknown["event"] == "Received unregistered task of type 'docintake.answer'."
    assert (unknown["level"], invalid["level"]) == ("critical", "error")
    assert invalid["event"] == "Received invalid task message"
    assert undecodable["event"] == "Can't decode message body"
    assert foreign["event"].startswith("Received and deleted unknown message")


def test_celery_s_line_per_task_with_its_result_is_left_out() -> None:
    assert (
        logged(
            "say = logging.getLogger('celery.app.trace')\n"
            "say.info('Task succeeded: %s', PRIVATE)\nsay.error('Task raised %s', PRIVATE)\n"
        )
        == []
    )


def test_a_command_warns_in_a_line_and_tells_of_an_exception_without_what_it_was_about() -> None:
    script = (
        "import structlog\nfrom worker.log import configure_console\nconfigure_console()\n"
        f"PRIVATE = {PRIVATE!r}\nlog = structlog.get_logger()\n"
        "log.info('job ended')\nlog.warning('documents left out', count=3)\n"
        "try:\n    raise KeyError(PRIVATE)\nexcept KeyError:\n    log.exception('no luck')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    first, *rest = done.stderr.splitlines()
    assert "documents left out" in first
    assert "count=3" in first
    assert "builtins.KeyError" in "".join(rest)
    assert "<string>:9" in "".join(rest)
    assert "Anna" not in done.stderr
