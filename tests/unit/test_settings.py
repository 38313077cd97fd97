"""Settings from a file and the environment, and what is said of mistakes in them."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import RejectedInput
from core.settings import DEFAULT_CONFIG, Deciding, Settings, Thresholds


@pytest.fixture(autouse=True)
def _environment_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("DOCINTAKE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


def test_without_a_file_named_the_embedded_configuration_is_read() -> None:
    settings = Settings.load()
    assert (settings.broker.url, settings.database.url) == (None, None)
    assert settings.model.backend == "ocr_text"
    assert settings == Settings.load(DEFAULT_CONFIG)


def test_the_file_is_the_one_given_else_the_one_the_environment_names(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("node: {concurrency: 3}")
    other = tmp_path / "other.yaml"
    other.write_text("node: {concurrency: 4}")
    monkeypatch.setenv("DOCINTAKE_CONFIG", str(other))
    assert Settings.load(file).node.concurrency == 3
    assert Settings.load().node.concurrency == 4


def test_the_environment_wins_and_leaves_the_rest_of_its_section(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("broker: {url: 'redis://file/0', key_prefix: 'of-file:'}\ndocuments: {roots: [/srv]}")
    monkeypatch.setenv("DOCINTAKE_BROKER__URL", "redis://environment/1")
    monkeypatch.setenv("DOCINTAKE_DOCUMENTS__ROOTS", '["/a", "s3://b/"]')
    monkeypatch.setenv("DOCINTAKE_READING__TIMEOUT", "5")
    settings = Settings.load(file)
    assert settings.broker.url is not None
    assert settings.broker.url.get_secret_value() == "redis://environment/1"
    assert settings.broker.key_prefix == "of-file:"
    assert settings.documents.roots == ("/a", "s3://b/")
    assert settings.reading.timeout == 5
    assert settings.reading.memory == Settings().reading.memory


def test_an_empty_file_means_the_defaults(file: Path) -> None:
    file.write_text("# nothing yet\n")
    assert Settings.load(file) == Settings()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("node: {concurency: 3}", "node.concurency"),
        ("nodes: {}", "nodes"),
        ("node: {concurrency: 0}", "node.concurrency"),
        ("documents: {pages: last}", "documents.pages"),
        ("deciding: {class_sets: {tax: {margin: 2}}}", "deciding.class_sets.tax.margin"),
        ("reading: {timeout: soon, memory: -1}", "reading.timeout.*reading.memory"),
        ("broker:", "broker"),
        ("asking: {prompts: {extraction: Read it}}", "asking.prompts.extraction"),
        ("asking: {prompts: {guessing: '{question}'}}", "asking.prompts.guessing.*"),
        ("asking: {fields: {file: {labels: []}}}", "asking.fields.file.labels"),
        ("asking: {fields: {file: {labels: [Ref], expects: riddle}}}", "asking.fields.file.expects"),
    ],
)
def test_a_setting_at_fault_is_named(file: Path, text: str, named: str) -> None:
    file.write_text(text)
    with pytest.raises(RejectedInput, match=rf"(?s)bad_settings: {file} and the environment: .*{named}: "):
        Settings.load(file)


@pytest.mark.parametrize(
    "content",
    [b"node: [", b"- a list", b"just words", b"1: one", b"\xff\xfe\x00", b"a: \x00"],
    ids=["no YAML", "a list", "a text", "a number for a name", "no UTF-8", "a NUL"],
)
def test_a_file_that_is_no_settings_is_named(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(RejectedInput, match=f"bad_settings: {file}"):
        Settings.load(file)


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(RejectedInput, match=f"bad_settings: {file} cannot be read"):
        Settings.load(file)


def test_a_list_in_the_environment_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCINTAKE_DOCUMENTS__ROOTS", "/srv/inbox")
    with pytest.raises(RejectedInput, match=r"bad_settings: the environment: .*documents.* JSON"):
        Settings.load()


def test_passwords_are_not_shown(file: Path) -> None:
    file.write_text("broker: {url: 'redis://:hush@h/0'}\ndatabase: {url: 'postgresql://u:hush@h/d'}")
    settings = Settings.load(file)
    assert "hush" not in repr(settings)
    assert "hush" not in settings.model_dump_json()


@pytest.mark.parametrize(
    "text", ["broker: 'redis://:hush@h/0'", "broker: {url: 'redis://:hush@h/0' ]"], ids=["wrong place", "no YAML"]
)
def test_a_password_in_a_mistake_is_not_repeated(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(RejectedInput) as caught:
        Settings.load(file)
    assert "hush" not in str(caught.value)
    assert "hush" not in str(caught.value.__cause__)


def test_a_url_may_stand_in_a_file_of_its_own(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("redis://node:hush@h/0\n")
    file.write_text(f"broker: {{url_file: {secret}, key_prefix: 'a:'}}")
    settings = Settings.load(file)
    assert settings.broker.url
    assert settings.broker.url.get_secret_value() == "redis://node:hush@h/0"
    assert settings.broker.key_prefix == "a:"
    assert "hush" not in repr(settings)
    assert "hush" not in settings.model_dump_json()

    monkeypatch.setenv("DOCINTAKE_BROKER__URL", "redis://wins/0")
    monkeypatch.setenv("DOCINTAKE_DATABASE__URL_FILE", str(secret))
    settings = Settings.load(file)
    assert settings.broker.url
    assert settings.database.url
    assert settings.broker.url.get_secret_value() == "redis://wins/0"
    assert settings.database.url.get_secret_value() == "redis://node:hush@h/0"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), (b" \n", "is empty"), (b"\xff", "cannot be read")]
)
def test_a_file_without_a_url_is_named(file: Path, tmp_path: Path, content: bytes | None, said: str) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    file.write_text(f"database: {{url_file: {secret}}}")
    with pytest.raises(RejectedInput, match=f"database: .*{secret} {said}"):
        Settings.load(file)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://u:hush@h/0?ssl_ca_certs=/ca.pem", "goes with rediss://"),
        ("rediss://u:hush@h/0?ssl_cert_reqs=CERT_REQUIRED", "`required`, `optional` or `none`"),
    ],
)
def test_a_url_of_redis_that_would_not_be_encrypted_as_it_says_is_refused(file: Path, url: str, said: str) -> None:
    file.write_text(f"broker: {{url: '{url}'}}")
    with pytest.raises(RejectedInput, match=f"broker.url: .*{said}") as caught:
        Settings.load(file)
    assert "hush" not in str(caught.value)
    assert "hush" not in str(caught.value.__cause__)


def test_the_commented_example_of_fields_and_prompts_can_be_used(file: Path) -> None:
    lines = DEFAULT_CONFIG.read_text().splitlines()
    start = lines.index("# asking:")
    file.write_text("\n".join(line.removeprefix("# ") for line in lines[start:]))
    asking = Settings.load(file).asking
    assert asking.fields["file number"].labels == ("Our reference", "Unser Zeichen")
    assert asking.fields["file number"].expects == "identifier"
    assert asking.prompts.keys() == {"extraction"}


def test_settings_do_not_change() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.data_dir = Path("elsewhere")  # type: ignore[misc] # the point of the test
    with pytest.raises(ValidationError, match="frozen"):
        settings.node.concurrency = 3  # type: ignore[misc] # the point of the test


def test_a_class_set_has_thresholds_of_its_own_or_those_of_all() -> None:
    strict = Thresholds(confidence=0.9)
    deciding = Deciding(class_sets={"tax": strict})
    assert deciding.thresholds_of("tax") == strict
    assert deciding.thresholds_of("other") == deciding.thresholds
    assert deciding.thresholds_of(None) == deciding.thresholds
