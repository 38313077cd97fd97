import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker.device import VISIBLE
from worker.turn import Turn

LONG = 30.0


@pytest.fixture
def turn(tmp_path: Path) -> Iterator[Callable[[str], Turn]]:
    """A process's view of a device's turn: as another process would have it, with a file of its own."""
    opened: list[Turn] = []

    def one(device: str = "cpu") -> Turn:
        opened.append(Turn(tmp_path / "data", device))
        return opened[-1]

    yield one
    for each in opened:
        each.close()


def waited(turn: Turn, longest: float) -> float:
    start = time.monotonic()
    turn.wait(longest)
    return time.monotonic() - start


def test_training_goes_on_while_nobody_serves(turn: Callable[..., Turn]) -> None:
    node, trainer = turn(), turn()
    assert waited(trainer, LONG) < LONG / 10
    node.serve(True)
    node.serve(False)
    assert waited(trainer, LONG) < LONG / 10


def test_training_waits_for_the_last_one_who_serves(turn: Callable[..., Turn]) -> None:
    nodes, trainer = [turn(), turn()], turn()
    for node in nodes:
        node.serve(True)
    went_on = threading.Event()
    thread = threading.Thread(target=lambda: (trainer.wait(LONG), went_on.set()))
    thread.start()
    nodes[0].serve(False)
    assert not went_on.wait(0.2)
    nodes[1].serve(False)
    assert went_on.wait(LONG / 2)
    thread.join()


def test_training_does_not_wait_for_ever(turn: Callable[..., Turn]) -> None:
    turn().serve(True)
    assert 0.1 <= waited(turn(), 0.1) < LONG / 10
    assert waited(turn(), 0) < LONG / 10


def test_a_process_that_is_gone_serves_no_more(turn: Callable[..., Turn], tmp_path: Path) -> None:
    killed = Turn(tmp_path / "data", "cpu")
    killed.serve(True)
    killed.close()
    assert waited(turn(), LONG) < LONG / 10


def test_another_device_is_another_turn(turn: Callable[..., Turn], monkeypatch: pytest.MonkeyPatch) -> None:
    turn("cuda:0").serve(True)
    assert waited(turn("cpu"), LONG) < LONG / 10
    assert waited(turn("cuda:1"), LONG) < LONG / 10
    assert waited(turn("cuda"), 0.05) >= 0.05
    # A pinned process calls its GPU 0, whichever it is.
    monkeypatch.setenv(VISIBLE, "1,0")
    assert waited(turn("cuda"), LONG) < LONG / 10
    assert waited(turn("cuda:1"), 0.05) >= 0.05
