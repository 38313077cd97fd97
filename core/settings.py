"""All settings: one frozen object, built once from a YAML file and the environment."""

import os
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from core.contract import Pages
from core.contract.answer import QuestionKind
from core.errors import RejectedInput
from core.question import Expected

PROJECT = Path(__file__).resolve().parent.parent
DEFAULT_CONFIG = PROJECT / "configs" / "embedded.yaml"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Broker(Section):
    url: SecretStr | None = Field(default=None, description="Redis URL; none: an embedded server is started.")
    key_prefix: str = Field(default="", description="Put before every key, to share a Redis with other applications.")
    visibility_timeout: float = Field(
        default=600,
        gt=0,
        description="Seconds until an unacknowledged task is given to another node; longer than any task.",
    )
    restore_interval: float = Field(default=10, gt=0, description="Seconds between looks for such tasks.")
    result_expires: float = Field(
        default=86400, gt=0, description="Seconds that a result waits for its caller in Redis."
    )


class Database(Section):
    url: SecretStr | None = Field(default=None, description="PostgreSQL URL; none: an embedded server is started.")
    statement_timeout: float = Field(default=30, gt=0, description="Seconds.")


class Documents(Section):
    """What may be fetched, and how large it may be. What is over a limit is refused."""

    roots: tuple[str, ...] = Field(
        default=(),
        description="Folders and URL prefixes that documents may come from: `/srv/inbox`, `s3://scans/`.",
    )
    max_bytes: int = Field(default=64 * 1024 * 1024, gt=0)
    max_pixels: int = Field(default=120_000_000, gt=0, description="Of one page, as decoded.")
    max_pages: int = Field(default=2000, gt=0, description="Pages that a document may have in all.")
    max_pages_read: int = Field(default=50, gt=0, description="Pages that one request may have read.")
    fetch_timeout: float = Field(default=30, gt=0, description="Seconds.")
    pages: Pages = Field(default="1-3", description="Pages read when a request does not say.")


class Reading(Section):
    processes: int = Field(default=0, ge=0, description="Reading processes; 0: one a core.")
    timeout: float = Field(default=60, gt=0, description="Seconds for one page, after which its process is killed.")
    memory: int = Field(default=3 * 1024**3, gt=0, description="Bytes of memory that one reading process may take.")


class Model(Section):
    backend: str = Field(default="ocr_text", description="`ocr_text` or `fake`.")
    device: str = Field(default="cpu")
    max_batch: int = Field(default=32, gt=0, description="Pages encoded together.")


class Thresholds(Section):
    """When a person should look. Probabilities in [0, 1]."""

    confidence: float = Field(default=0.5, ge=0, le=1, description="Below: `low_confidence`.")
    margin: float = Field(default=0.1, ge=0, le=1, description="Best less second best below this: `small_margin`.")
    in_set: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Probability that it is any of the classes below this: `out_of_set`.",
    )


class Deciding(Section):
    class_set: str = Field(default="intake", description="The class set of a request that names none.")
    thresholds: Thresholds = Thresholds()
    class_sets: dict[str, Thresholds] = Field(default_factory=dict, description="Thresholds of single class sets.")

    def thresholds_of(self, class_set: str | None) -> Thresholds:
        return self.class_sets.get(class_set or "", self.thresholds)


def _with_question(prompt: str) -> str:
    if "{question}" not in prompt:
        raise ValueError("a prompt holds {question} where the question goes")
    return prompt


Prompt = Annotated[str, AfterValidator(_with_question)]
Wording = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class FieldSettings(Section):
    """A field as this deployment's documents print it, beside the wordings that are known anyway."""

    labels: tuple[Wording, ...] = Field(min_length=1, description="Words that it is printed under: `Our reference`.")
    questions: tuple[Wording, ...] = Field(default=(), description="Words that it is asked for in: `file number`.")
    expects: Expected = Field(default="text", description="What its value looks like.")


class Asking(Section):
    prompts: dict[QuestionKind, Prompt] = Field(
        default_factory=dict,
        description="What a generating model is told, by kind of question; `{question}` is the question. It is to "
        "answer NOT_FOUND where the pages do not tell.",
    )
    fields: dict[str, FieldSettings] = Field(
        default_factory=dict, description="Fields that are printed or asked for in words of this deployment's own."
    )


class Node(Section):
    concurrency: int = Field(default=16, gt=0, description="Tasks in flight in one inference node.")
    max_attempts: int = Field(
        default=3, gt=0, description="Starts that a task may have before it is set aside as poison."
    )
    max_retries: int = Field(default=5, ge=0, description="Retries after transient failures.")
    retry_delay: float = Field(
        default=2, gt=0, description="Seconds before the first retry; doubled each time, with jitter."
    )
    class_refresh: float = Field(
        default=2, gt=0, description="Seconds within which a published class version is served."
    )


class Settings(BaseSettings):
    """Everything that can be configured. Environment variables win over the file:
    `DOCINTAKE_BROKER__URL` is `broker.url`.
    """

    model_config = SettingsConfigDict(
        env_prefix="DOCINTAKE_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Field(default=Path(".docintake"), description="Where embedded servers keep their data.")
    broker: Broker = Broker()
    database: Database = Database()
    documents: Documents = Documents()
    reading: Reading = Reading()
    model: Model = Model()
    deciding: Deciding = Deciding()
    asking: Asking = Asking()
    node: Node = Node()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the file at `path`, else at `$DOCINTAKE_CONFIG`, else the embedded default; then the environment.

        Raises RejectedInput(`bad_settings`) that names the setting at fault.
        """
        path = path or Path(os.environ.get("DOCINTAKE_CONFIG") or DEFAULT_CONFIG)
        try:
            # From a stream: errors about a text would quote it, passwords and all.
            with path.open(encoding="utf-8") as stream:
                values: Any = yaml.safe_load(stream) or {}
            return cls(**values)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(str(p) for p in fault['loc'])}: {fault['msg']}" for fault in error.errors()
            )
            raise RejectedInput("bad_settings", f"{path} and the environment: {faults}") from error
        except SettingsError as error:
            raise RejectedInput("bad_settings", f"the environment: {error}; lists are written as JSON") from error
        except (OSError, ValueError, yaml.YAMLError, TypeError) as error:
            raise RejectedInput("bad_settings", f"{path} cannot be read as settings: {error}") from error
