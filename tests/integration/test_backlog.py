"""What waits in the queues of a real Redis, as operators see it."""

import time
from collections.abc import Iterator

import pytest
from node import disconnect
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import SecretStr

from core.contract import IntakeClient
from core.errors import TransientFailure
from core.settings import Settings
from worker.app import make_app
from worker.backlog import Backlog, Backlogs, look

URI = "file:///srv/inbox/1.pdf"
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def client(settings: Settings) -> Iterator[IntakeClient]:
    assert settings.broker.url
    client = IntakeClient(settings.broker.url.get_secret_value(), key_prefix=settings.broker.key_prefix)
    yield client
    disconnect(client)


def figures(settings: Settings) -> list[str]:
    registry = CollectorRegistry()
    registry.register(Backlogs(make_app(settings)))
    return generate_latest(registry).decode().splitlines()


def test_what_waits_is_counted_by_queue_and_priority_and_the_oldest_is_told(
    settings: Settings, client: IntakeClient
) -> None:
    for _ in range(3):
        client.classify(URI)
    client.classify(URI, priority="bulk")
    before = time.time()
    client.answer(URI, "What is the total?")
    classify, qa, retrain = look(make_app(settings))
    assert (classify.queue, classify.messages) == ("classify", {"normal": 3, "bulk": 1})
    assert (qa.queue, qa.messages) == ("qa", {"normal": 1})
    assert retrain == Backlog("retrain", {}, None)
    assert classify.oldest is not None
    assert qa.oldest is not None
    assert 0 <= qa.oldest <= time.time() - before
    assert classify.oldest >= qa.oldest


def test_what_was_sorted_by_tenant_waits_as_well(settings: Settings, client: IntakeClient) -> None:
    for tenant in ("large", "large", "large", "small"):
        client.classify(URI, metadata={"tenant": tenant})
    app = make_app(settings)
    with app.connection_for_read() as connection:
        channel = connection.channel()
        channel.basic_consume("classify", no_ack=False, callback=lambda message: message.ack(), consumer_tag="test")
        channel.connection.cycle._register_BRPOP(channel)
        channel._brpop_read()
        (classify, *_) = look(app)
    assert classify.messages == {"normal": 3}
    assert classify.oldest is not None


def test_a_message_of_plain_celery_waits_without_saying_since_when(settings: Settings) -> None:
    app = make_app(settings)
    app.send_task("docintake.classify", kwargs={"document": URI}, queue="classify")
    (classify, *_) = look(app)
    assert classify == Backlog("classify", {"urgent": 1}, None)


def test_prometheus_hears_of_it(settings: Settings, client: IntakeClient) -> None:
    client.classify(URI, priority="bulk")
    lines = figures(settings)
    assert "docintake_broker_up 1.0" in lines
    assert 'docintake_queue_messages{priority="bulk",queue="classify"} 1.0' in lines
    assert 'docintake_queue_oldest_seconds{queue="retrain"} 0.0' in lines


def test_a_broker_that_is_away_is_told_and_fails_no_scrape(settings: Settings) -> None:
    away = settings.model_copy(update={"broker": settings.broker.model_copy(update={"url": SecretStr(NOWHERE)})})
    with pytest.raises(TransientFailure, match="broker_unavailable"):
        look(make_app(away))
    assert "docintake_broker_up 0.0" in figures(away)
