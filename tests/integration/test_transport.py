"""Messages on a real Redis: taken in one step, so that no death of a node loses one, and fairly."""

import hashlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from queue import Empty
from typing import Any
from unittest.mock import Mock

import pytest
import redis
from kombu import Connection, Exchange, Queue
from kombu.asynchronous import Hub
from kombu.transport.redis import Mutex
from kombu.transport.redis import Transport as Plain
from node import wait_until

from core.contract import IntakeClient
from core.settings import Settings
from worker.app import make_app
from worker.transport import Channel, Transport

QUEUE = Queue("papers", routing_key="papers", queue_arguments={})


@pytest.fixture
def prefix() -> str:
    return f"{uuid.uuid4().hex}:"


@pytest.fixture
def store(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


Connect = Callable[..., Connection]


@pytest.fixture
def connect(redis_url: str, prefix: str) -> Iterator[Connect]:
    """Open a connection; without a transport it is ours."""
    opened: list[Connection] = []

    def connect(transport: type = Transport, **options: float) -> Connection:
        connection = Connection(
            redis_url, transport=transport, transport_options={"global_keyprefix": prefix, **options}
        )
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


def send(connection: Connection, *bodies: str, priority: int = 0, headers: dict[str, str] | None = None) -> None:
    options = {"routing_key": QUEUE.name, "declare": [QUEUE], "exchange": "", "priority": priority}
    with connection.Producer(serializer="json") as producer:
        for body in bodies:
            producer.publish(body, headers=headers, **options)


def asking(connection: Connection) -> Channel:
    """A channel that has asked Redis for a message and has not looked at the answer."""
    channel = connection.channel()
    channel.basic_consume(QUEUE.name, no_ack=False, callback=lambda _: None, consumer_tag="test")
    channel.connection.cycle._register_BRPOP(channel)
    return channel


def take(connection: Connection, count: int) -> list[str]:
    """Receive and acknowledge that many messages."""
    bodies: list[str] = []

    def receive(body: str, message: object) -> None:
        bodies.append(body)
        message.ack()  # type: ignore[attr-defined] # kombu has no types

    with connection.Consumer(QUEUE, callbacks=[receive]):
        while len(bodies) < count:
            connection.drain_events(timeout=30)
    return bodies


def listen(connection: Connection, seconds: float) -> None:
    """Until nothing comes for so long (TimeoutError)."""
    while True:
        connection.drain_events(timeout=seconds)


def test_a_node_serves_by_this_transport(settings: object) -> None:
    with make_app(settings).connection_for_read() as connection:  # type: ignore[arg-type] # a fixture's
        assert isinstance(connection.transport, Transport)


def test_a_message_is_noted_before_its_taker_hears_of_it(connect: Connect, store: "redis.Redis", prefix: str) -> None:
    send(connect(), "a letter")
    asking(connect())
    wait_until(lambda: not store.llen(f"{prefix}{QUEUE.name}"), "the message is taken")
    assert (store.hlen(f"{prefix}unacked"), store.zcard(f"{prefix}unacked_index")) == (1, 1)
    # Its taker never looked; another one gets it.
    other = connect(visibility_timeout=0)
    other.channel().qos.restore_visible(num=10)
    assert take(other, 1) == ["a letter"]
    assert not store.hlen(f"{prefix}unacked")


def test_what_a_node_is_at_work_on_is_its_own_while_it_lives(
    connect: Connect, store: "redis.Redis", prefix: str
) -> None:
    send(connect(), "a long letter", "another")
    node, other = connect(visibility_timeout=30), connect(visibility_timeout=30)
    with node.Consumer(QUEUE, callbacks=[lambda *_: None]) as consumer:
        node.drain_events(timeout=30)

        def an_hour_later() -> None:
            (tag,) = store.hkeys(f"{prefix}unacked")
            store.zadd(f"{prefix}unacked_index", {tag: time.time() - 3600})

        an_hour_later()
        consumer.channel.qos.restore_visible(num=10)
        other.channel().qos.restore_visible(num=10)
        assert store.hlen(f"{prefix}unacked") == 1
        # From here on it gives no sign of life.
        an_hour_later()
        other.channel().qos.restore_visible(num=10)
        assert store.hlen(f"{prefix}unacked") == 0
        # It is somebody else's now, whatever the one that had it comes to say.
        consumer.channel.qos.restore_visible(num=10)
        assert store.zcard(f"{prefix}unacked_index") == 0
        assert take(other, 2) == ["a long letter", "another"]


def test_what_nobody_will_acknowledge_is_not_noted(connect: Connect, store: "redis.Redis", prefix: str) -> None:
    send(connect(), "an answer to a question about nodes")
    channel = connect().channel()
    channel.basic_consume(QUEUE.name, no_ack=True, callback=lambda _: None, consumer_tag="test")
    channel.connection.cycle._register_BRPOP(channel)
    channel._brpop_read()
    assert not store.hlen(f"{prefix}unacked")


def test_what_is_noted_is_what_kombu_itself_would_note(connect: Connect, store: "redis.Redis", prefix: str) -> None:
    send(connect(), "a letter")
    noted = []
    for transport in (Transport, Plain):
        connection = connect(transport, visibility_timeout=0)
        channel = connection.channel()
        channel.basic_consume(QUEUE.name, no_ack=False, callback=lambda _: None, consumer_tag="test")
        channel.connection.cycle._register_BRPOP(channel)
        if transport is Plain:
            channel._brpop_read()
        wait_until(lambda: store.hlen(f"{prefix}unacked"), "a note")
        noted.append({tag: json.loads(note) for tag, note in store.hgetall(f"{prefix}unacked").items()})
        channel.qos.restore_visible(num=10)
    ours, theirs = noted
    for note in theirs.values():
        # Kombu marks what it gives out a second time.
        note[0]["headers"].pop("redelivered", None)
        note[0]["properties"]["delivery_info"].pop("redelivered", None)
    assert ours == theirs


def holding(connection: Connection) -> tuple[Channel, list[Any]]:
    """A channel and the message that it has taken and not acknowledged."""
    channel, messages = connection.channel(), list[Any]()
    channel.basic_consume(QUEUE.name, no_ack=False, callback=messages.append, consumer_tag="test")
    channel.connection.cycle._register_BRPOP(channel)
    channel._brpop_read()
    return channel, messages


def test_what_is_acknowledged_is_told_with_the_next_look(connect: Connect, store: "redis.Redis", prefix: str) -> None:
    send(connect(), "one", "two")
    channel, messages = holding(connect())
    messages[0].ack()
    assert store.hkeys(f"{prefix}unacked") == [messages[0].delivery_tag]
    channel.connection.cycle._register_BRPOP(channel)
    channel._brpop_read()
    assert store.hkeys(f"{prefix}unacked") == [messages[1].delivery_tag]
    messages[1].ack()
    channel._brpop_start()
    with pytest.raises(Empty):
        channel._brpop_read()
    assert not store.exists(f"{prefix}unacked", f"{prefix}unacked_index")


@pytest.mark.parametrize("end", [lambda channel: channel.basic_cancel("test"), lambda channel: channel.close()])
def test_what_is_acknowledged_before_the_last_look_is_told_at_the_end(
    connect: Connect, store: "redis.Redis", prefix: str, end: Callable[[Channel], None]
) -> None:
    send(connect(), "one")
    channel, messages = holding(connect())
    messages[0].ack()
    end(channel)
    assert not store.exists(f"{prefix}unacked", f"{prefix}unacked_index")


def test_a_channel_closes_though_redis_cannot_be_told_any_more(connect: Connect) -> None:
    send(connect(), "one")
    channel, messages = holding(connect())
    messages[0].ack()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel, "_tell_of_done", Mock(side_effect=redis.ConnectionError("away")))
        with pytest.raises(redis.ConnectionError):
            channel.close()
    assert channel.closed


def test_what_is_acknowledged_after_the_last_look_is_told_at_once(
    connect: Connect, store: "redis.Redis", prefix: str
) -> None:
    send(connect(), "one")
    channel, messages = holding(connect())
    channel.basic_cancel("test")
    assert store.exists(f"{prefix}unacked")
    messages[0].ack()
    assert not store.exists(f"{prefix}unacked", f"{prefix}unacked_index")


def test_what_is_acknowledged_is_told_at_once_where_all_places_are_taken_again(
    connect: Connect, store: "redis.Redis", prefix: str
) -> None:
    send(connect(), "one", "two")
    channel, messages = holding(connect())
    channel.basic_qos(0, 1, False)
    # Acknowledged while a look is on its way, which finds what takes the place.
    channel._brpop_start()
    messages[0].ack()
    channel._brpop_read()
    assert store.hkeys(f"{prefix}unacked") == [messages[1].delivery_tag]
    assert not channel.done


def test_a_channel_that_groups_nothing_tells_at_once(connect: Connect, store: "redis.Redis", prefix: str) -> None:
    send(connect(), "one")
    _, messages = holding(connect(groups_acks=False))
    messages[0].ack()
    assert not store.exists(f"{prefix}unacked", f"{prefix}unacked_index")


def test_what_redis_did_not_hear_of_is_told_again(connect: Connect, store: "redis.Redis", prefix: str) -> None:
    send(connect(), "one")
    channel, messages = holding(connect())
    messages[0].ack()
    channel._brpop_start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel.client, "parse_response", Mock(side_effect=redis.ResponseError("OOM")))
        with pytest.raises(redis.ResponseError):
            channel._brpop_read()
    assert channel.done == [messages[0].delivery_tag]


def test_what_is_asked_for_by_itself_is_noted_too(connect: Connect, store: "redis.Redis", prefix: str) -> None:
    send(connect(), "a letter")
    message = connect().channel().basic_get(QUEUE.name, no_ack=False)
    assert store.hlen(f"{prefix}unacked") == 1
    message.ack()
    assert not store.hlen(f"{prefix}unacked")


def test_messages_come_by_priority_and_then_in_order(connect: Connect) -> None:
    sender = connect()
    send(sender, "bulk", priority=9)
    send(sender, "normal", priority=3)
    send(sender, "urgent 1", "urgent 2", priority=0)
    assert take(connect(), 4) == ["urgent 1", "urgent 2", "normal", "bulk"]


def test_what_is_less_urgent_has_its_turn_however_much_is_urgent(connect: Connect) -> None:
    sender = connect()
    send(sender, *(f"urgent {n}" for n in range(40)), priority=0)
    send(sender, *(f"normal {n}" for n in range(40)), priority=3)
    send(sender, *(f"bulk {n}" for n in range(40)), priority=9)
    taken = Counter(text.split()[0] for text in take(connect(), 36))
    # Of twelve, nine begin with what is urgent, and each of the three lower steps has one of its own.
    assert taken == {"urgent": 30, "normal": 3, "bulk": 3}


def test_tenants_take_turns_however_much_one_of_them_sent_first(
    connect: Connect, store: "redis.Redis", prefix: str
) -> None:
    sender = connect()
    send(sender, *(f"large {n}" for n in range(250)), headers={"tenant": "large"})
    send(sender, *(f"small {n}" for n in range(3)), headers={"tenant": "small"})
    send(sender, "nobody's")
    taker = connect()
    first = take(taker, 12)
    assert set(first) >= {"small 0", "small 1", "small 2", "nobody's"}
    assert [text for text in first if text.startswith("large")] == [f"large {n}" for n in range(8)]
    assert taker.channel()._size(QUEUE.name) == 242
    assert take(taker, 242) == [f"large {n}" for n in range(8, 250)]
    # Nothing is left of anybody, not even a name.
    assert [key for key in store.scan_iter(f"{prefix}*") if "tenant" in key] == []


def test_a_tenant_may_be_called_anything(connect: Connect, store: "redis.Redis", prefix: str) -> None:
    name = "Größenwahn & Söhne " + "€" * 500
    send(connect(), "first", "second", headers={"tenant": name})
    taker = connect()
    assert take(taker, 1) == ["first"]
    assert not [key for key in store.scan_iter(f"{prefix}*") if "Gr" in key]
    (head,) = taker.channel().heads(QUEUE.name)
    assert head.messages == 1
    assert take(taker, 1) == ["second"]


def test_a_tenant_whose_messages_were_erased_keeps_nobody_waiting(
    connect: Connect, store: "redis.Redis", prefix: str
) -> None:
    send(connect(), "gone 1", "gone 2", headers={"tenant": "gone"})
    send(connect(), "there", headers={"tenant": "there"})
    taker = connect()
    assert take(taker, 1) == ["gone 1"]
    (own,) = store.scan_iter(f"{prefix}*{hashlib.sha1(b'gone', usedforsecurity=False).hexdigest()}")
    store.delete(own)
    assert take(taker, 1) == ["there"]


def test_a_tenant_is_known_by_what_plain_celery_shows_of_its_arguments(connect: Connect) -> None:
    def shown(tenant: str) -> dict[str, str]:
        return {"kwargsrepr": repr({"document": "file:///a", "metadata": {"page": 1, "tenant": tenant}})}

    sender = connect()
    send(sender, "large 1", "large 2", "large 3", headers=shown("large"))
    send(sender, "small 1", headers=shown("small"))
    assert take(connect(), 4) == ["large 1", "small 1", "large 2", "large 3"]


def test_what_a_dead_node_held_of_a_tenant_comes_before_the_tenants_other_messages(connect: Connect) -> None:
    send(connect(), "first", "second", "third", headers={"tenant": "one"})
    # Taken by somebody who never acknowledges it.
    asking(connect())
    other = connect(visibility_timeout=0)
    wait_until(
        lambda: other.channel().qos.restore_visible(num=10) or other.channel()._size(QUEUE.name) == 3, "it is back"
    )
    assert take(other, 3) == ["first", "second", "third"]


def test_an_empty_queue_is_waited_on_by_redis(connect: Connect) -> None:
    channel = asking(connect())
    for _ in range(4):
        with pytest.raises(Empty):
            channel._brpop_read()
        channel._brpop_start()
    send(connect(), "a letter")
    connection = connect()
    assert take(connection, 1) == ["a letter"]


def test_a_node_looks_at_an_empty_queue_by_its_own_clock_and_soon_after_a_task_has_ended(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, hub: Hub
) -> None:
    pauses, bodies = list[float](), list[str]()
    call_later = hub.call_later

    def noted(seconds: float, call: Callable[[], None]) -> Any:
        pauses.append(seconds)
        return call_later(seconds, call)

    monkeypatch.setattr(hub, "call_later", noted)

    def receive(body: str, message: Any) -> None:
        bodies.append(body)
        message.ack()

    def run_until(happened: Callable[[], bool]) -> None:
        while not happened():
            hub.run_once()

    connection = connect()
    with connection.Consumer(QUEUE, callbacks=[receive]):
        connection.register_with_event_loop(hub)
        run_until(lambda: len(pauses) == 6)
        send(connect(), "a letter")
        run_until(lambda: bodies == ["a letter"])
        before = len(pauses)
        run_until(lambda: len(pauses) == before + 2)
    assert pauses[:6] == [0.001, 0.002, 0.004, 0.008, 0.01, 0.01]
    assert pauses[before:] == [0.001, 0.002]


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


def test_a_node_takes_several_messages_with_one_look_the_most_urgent_first(
    connect: Connect, store: "redis.Redis", hub: Hub
) -> None:
    send(connect(), *"abcdefghij", priority=6)
    send(connect(), "now", priority=0)
    connection, bodies = connect(), list[str]()
    with connection.Consumer(QUEUE, callbacks=[lambda body, _: bodies.append(body)]):
        connection.register_with_event_loop(hub)
        store.config_resetstat()
        while len(bodies) < 11:
            hub.run_once()
        assert bodies == ["now", *"abcdefghij"]
        assert store.info("commandstats")["cmdstat_eval"]["calls"] == 2


def test_a_fourth_is_of_lower_priorities_however_many_come_with_one_look(connect: Connect, hub: Hub) -> None:
    sender, connection, bodies = connect(), connect(), list[str]()
    for name, priority in (("urgent", 0), ("normal", 3), ("bulk", 9)):
        send(sender, *[name] * 40, priority=priority)
    with connection.Consumer(QUEUE, callbacks=[lambda body, _: bodies.append(body)]):
        connection.register_with_event_loop(hub)
        while len(bodies) < 44:
            hub.run_once()
    # Of eleven, eight and three; the lower steps take turns, and the one between them has nothing.
    assert Counter(bodies[:44]) == {"urgent": 35, "normal": 6, "bulk": 3}


def test_a_node_takes_no_more_than_it_has_room_for(
    connect: Connect, store: "redis.Redis", prefix: str, hub: Hub
) -> None:
    send(connect(), *"abcd")
    connection, messages = connect(), list[Any]()
    with connection.Consumer(QUEUE, callbacks=[lambda _, message: messages.append(message)], prefetch_count=3):
        connection.register_with_event_loop(hub)
        while len(messages) < 3:
            hub.run_once()
        assert store.llen(f"{prefix}{QUEUE.name}") == 1
        messages[0].ack()
        while len(messages) < 4:
            hub.run_once()
        assert store.hlen(f"{prefix}unacked") == 3


def test_what_a_node_cannot_give_out_takes_nothing_along_that_came_with_it(connect: Connect, hub: Hub) -> None:
    send(connect(), *"abc")
    connection, bodies = connect(), list[str]()

    def receive(body: str, message: Any) -> None:
        bodies.append(body)
        if body == "b":
            raise LookupError(body)
        message.ack()

    with connection.Consumer(QUEUE, callbacks=[receive]):
        connection.register_with_event_loop(hub)
        with pytest.raises(LookupError):
            hub.run_forever()
    assert bodies == ["a", "b", "c"]


def test_a_loop_is_told_of_a_line_once_however_often_a_node_looks(
    connect: Connect, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, add_reader = list[int](), hub.add_reader

    def noted(line: int, *args: Any) -> None:
        told.append(line)
        add_reader(line, *args)

    monkeypatch.setattr(hub, "add_reader", noted)
    connection, bodies = connect(), list[str]()
    with connection.Consumer(QUEUE, callbacks=[lambda body, _: bodies.append(body)]):
        connection.register_with_event_loop(hub)
        for name in "abc":
            send(connect(), name)
            while name not in bodies:
                hub.run_once()
    assert len(told) == len(set(told)) == 1


def test_a_line_that_is_cut_while_nobody_speaks_does_not_hold_the_node_up(
    settings: Settings, store: "redis.Redis"
) -> None:
    everybody = Queue("ears", Exchange("news", type="fanout"), auto_delete=True)
    with (
        make_app(settings).connection_for_read() as connection,
        connection.Consumer(everybody, callbacks=[lambda *_: None]),
    ):
        with pytest.raises(TimeoutError):
            listen(connection, 0.5)
        store.client_kill_filter(_type="pubsub")
        with pytest.raises(redis.ConnectionError):
            listen(connection, 10)


def test_what_is_no_message_does_not_stop_the_queue(connect: Connect, store: "redis.Redis", prefix: str) -> None:
    store.lpush(f"{prefix}{QUEUE.name}", "no message")
    channel = asking(connect())
    with pytest.raises(ValueError, match="Expecting value"):
        channel._brpop_read()
    send(connect(), "a letter")
    assert take(connect(), 1) == ["a letter"]


@pytest.mark.parametrize("ahead", [-60, 60])
def test_a_wrong_clock_gives_no_message_back_early_and_none_late(
    connect: Connect, store: "redis.Redis", prefix: str, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    send(connect(), "a letter")
    asking(connect())
    wait_until(lambda: store.hlen(f"{prefix}unacked"), "the message is taken")
    patient, hasty = connect(visibility_timeout=30), connect(visibility_timeout=0)
    for module in ("kombu.transport.redis", "worker.transport"):
        monkeypatch.setattr(f"{module}.time", lambda: time.time() + ahead)
    patient.channel().qos.restore_visible(num=10)
    assert store.hlen(f"{prefix}unacked") == 1
    wait_until(
        lambda: hasty.channel().qos.restore_visible(num=10) or not store.hlen(f"{prefix}unacked"), "it is back"
    )
    assert store.llen(f"{prefix}{QUEUE.name}") == 1


def test_what_a_wrong_clock_takes_is_noted_by_the_servers(
    connect: Connect, store: "redis.Redis", prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kombu.transport.redis.time", lambda: time.time() + 60)
    connection = connect()
    send(connection, "a letter")
    channel = asking(connection)
    assert channel._brpop_read()
    ((_, noted),) = store.zrange(f"{prefix}unacked_index", 0, -1, withscores=True)
    assert abs(noted - time.time()) < 30


def test_a_node_killed_while_it_gives_messages_back_keeps_others_from_it_for_seconds(
    settings: Settings, store: "redis.Redis"
) -> None:
    with (
        make_app(settings).connection_for_read() as connection,
        connection.default_channel as channel,
        channel.conn_or_acquire() as client,
        # As kombu begins to.
        Mutex(client, channel.unacked_mutex_key, channel.unacked_mutex_expire),
    ):
        left = store.pttl(f"{settings.broker.key_prefix}{channel.unacked_mutex_key}")
    assert 0 < left <= 10_000


def test_a_client_speaks_to_redis_through_the_same_object_each_time(
    redis_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, made = IntakeClient(redis_url, key_prefix=prefix), Mock()
    client.classify("file:///first.pdf", ignore_result=True)
    monkeypatch.setattr(redis.Redis, "__init__", made)
    for number in range(3):
        client.classify(f"file:///{number}.pdf", ignore_result=True)
    made.assert_not_called()
