"""Calls made aside: what comes of them, what they leave behind, and what a fork makes of their threads."""

import os
import threading
import weakref
from concurrent.futures import TimeoutError as NotYet

import pytest

from core.aside import aside


def test_a_call_returns_or_raises_where_it_is_waited_for() -> None:
    assert aside(lambda: 7).result(5) == 7
    assert isinstance(aside(lambda: 1 // 0).exception(5), ZeroDivisionError)


def test_a_call_that_hangs_is_left_behind_and_holds_nobody_up() -> None:
    going_on = threading.Event()
    with pytest.raises(NotYet):
        (hanging := aside(going_on.wait)).result(0.01)
    assert aside(lambda: 7).result(5) == 7
    going_on.set()
    assert hanging.result(5) is True


def test_one_thread_makes_call_after_call() -> None:
    def whose() -> int:
        return aside(threading.get_ident).result(5)

    before = {whose() for _ in range(20)}
    # The thread may not be back yet when the next call comes.
    assert len(before) < 10
    assert threading.get_ident() not in before


def test_what_a_call_brought_is_not_kept_by_its_thread() -> None:
    class Content:
        pass

    def fetch() -> "tuple[Content, weakref.ref[Content]]":
        content = Content()
        return content, weakref.ref(content)

    content, kept = aside(fetch).result(5)
    aside(lambda: None).result(5)
    del content
    assert kept() is None


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # which Python 3.12 says of any process with threads
def test_calls_go_on_in_a_forked_process() -> None:
    assert aside(lambda: 7).result(5) == 7
    child = os.fork()
    if not child:
        os._exit(aside(lambda: 7).result(5))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
