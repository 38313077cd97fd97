"""All settings: one frozen object, built once from a YAML file and the environment."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from core.contract import Pages
from core.contract.answer import QuestionKind
from core.errors import RejectedInput
from core.question import Expected

PROJECT = Path(__file__).resolve().parent.parent
DEFAULT_CONFIG = PROJECT / "configs" / "embedded.yaml"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Server(Section):
    """A server of the operator's, and who we are to it: both stand in its `url`, so that it is never shown."""

    url_file: Path | None = Field(
        default=None, description="File that the URL stands in, such as `/run/secrets/broker`, if `url` is not set."
    )

    @model_validator(mode="before")
    @classmethod
    def _url_of_file(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not values.get("url_file") or values.get("url") is not None:
            return values
        try:
            url = Path(values["url_file"]).read_text(encoding="utf-8").strip()
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"the file {values['url_file']} cannot be read ({type(error).__name__})") from None
        if not url:
            raise ValueError(f"the file {values['url_file']} is empty; it holds the URL and nothing else")
        return {**values, "url": url}


def _redis_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    encryption = {name: wanted for name, wanted in parse_qsl(parts.query) if name.startswith("ssl_")}
    if parts.scheme == "redis" and encryption:
        raise ValueError("`ssl_…` goes with rediss://, which encrypts; redis:// does not")
    if encryption.get("ssl_cert_reqs", "required") not in ("required", "optional", "none"):
        raise ValueError("ssl_cert_reqs is `required`, `optional` or `none`")
    return value


class Broker(Server):
    url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = Field(
        default=None,
        description="Redis URL, encrypted as `rediss://user:password@host/0?ssl_ca_certs=…`; none: an embedded "
        "server is started.",
    )
    key_prefix: str = Field(default="", description="Put before every key, to share a Redis with other applications.")
    visibility_timeout: float = Field(
        default=600,
        gt=0,
        description="Seconds without a sign of life from a node until its tasks are given to another one. Nodes give "
        "one every `broker.restore_interval`; one whose device is at a single batch for longer is not live.",
    )
    restore_interval: float = Field(
        default=10, gt=0, description="Seconds between signs of life, and looks for such tasks."
    )
    result_expires: float = Field(
        default=86400, gt=0, description="Seconds that a result waits for its caller in Redis."
    )


class Database(Server):
    url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL URL, encrypted with `?sslmode=verify-full&sslrootcert=…`; none: an embedded server "
        "is started.",
    )
    statement_timeout: float = Field(default=30, gt=0, description="Seconds.")


class Documents(Section):
    """What may be fetched, and how large it may be. What is over a limit is refused."""

    roots: tuple[str, ...] = Field(
        default=(),
        description="Folders and URL prefixes that documents may come from: `/srv/inbox`, `s3://scans/`.",
    )
    networks: tuple[IPvAnyNetwork, ...] = Field(
        default=(),
        description="Networks beside the public Internet that hosts named in `roots` may stand in: `10.0.0.0/8`.",
    )
    max_bytes: int = Field(default=64 * 1024 * 1024, gt=0, description="Of one document.")
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
    backend: str = Field(default="ocr_text", description="`ocr_text`, `internvl`, `dual_encoder` or `fake`.")
    device: str = Field(default="cpu", description="`cpu`, `cuda`, `cuda:1`; `auto`: a GPU where there is one.")
    weights: str | None = Field(
        default=None,
        description="Folder of a checkpoint, or its name in the hub's cache on this machine, for backends that bring "
        "none: `OpenGVLab/InternVL3-1B-hf`. Nothing is downloaded.",
    )
    text_weights: str | None = Field(
        default=None,
        description="The same of the sentence encoder beside it: `sentence-transformers/all-mpnet-base-v2`.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="Of the weights; `auto`: float32 on a CPU, and half of that on a GPU."
    )
    compile: bool = Field(
        default=False, description="Have torch compile the vision tower: a slow start, then faster."
    )
    tiles: int = Field(default=4, ge=1, description="Tiles that a page is cut into, at most, to tell its type.")
    fuse_text: bool = Field(default=False, description="Learn from the text on a page beside what it looks like.")
    subtract_prior: bool = Field(
        default=True, description="Take from a class's likelihood what it would have on a blank page."
    )
    max_batch: int = Field(default=32, gt=0, description="Pages or questions that the device works on together.")
    max_tiles: int = Field(default=64, gt=0, description="Tiles that the device works on together.")


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


def _cron(value: str) -> str:
    fields = value.split()
    if value != "disable" and (len(fields) != 5 or not all(re.fullmatch(r"[\d*/,a-z-]+", part) for part in fields)):
        raise ValueError(
            "a schedule is `minute hour day-of-month month day-of-week`, as in `30 2 * * *`, or `disable`"
        )
    return value


Cron = Annotated[str, AfterValidator(_cron)]


class Asking(Section):
    prompts: dict[QuestionKind, Prompt] = Field(
        default_factory=dict,
        description="What a generating model is told, by kind of question; `{question}` is the question. It is to "
        "answer NOT_FOUND where the pages do not tell.",
    )
    fields: dict[str, FieldSettings] = Field(
        default_factory=dict, description="Fields that are printed or asked for in words of this deployment's own."
    )


class CaptionsFolder(Section):
    """Captioned images that every run of a class set learns from."""

    file: str = Field(description='URI of the JSON file: `[{"image": …, "caption": …, "class": …}]`.')
    images: str = Field(description="URI of the folder that its image names are relative to.")


class Training(Section):
    """How class sets learn from labels. A retrain request may override what its run alone is to do otherwise."""

    store: Path | None = Field(
        default=None,
        description="Folder of the checkpoints, which trainer and nodes share; none: in the data folder.",
    )
    captions: dict[str, tuple[CaptionsFolder, ...]] = Field(
        default_factory=dict, description="Class set → captioned images that it learns from beside its labels."
    )
    min_new_labels: int = Field(
        default=20, ge=1, description="New labels that a run needs; with fewer it is skipped."
    )
    max_samples_per_class: int = Field(default=500, ge=1)
    min_captions_per_image: int = Field(
        default=4, ge=1, description="Documents with fewer captions get more, made of their class's description."
    )
    max_left_out: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of documents that may be missing or broken; with more a run stops.",
    )
    validation_share: float = Field(
        default=0.2, gt=0, lt=0.5, description="Documents that say when to stop, and fit the temperature."
    )
    test_share: float = Field(
        default=0.2, gt=0, lt=0.5, description="Documents that judge: nothing learns from them."
    )
    held_out_classes: float = Field(
        default=0.25, ge=0, lt=1, description="Share of the labelled classes that the rehearsal does not learn from."
    )
    pooling: Literal["mean", "cross_attention"] = Field(
        default="mean", description="How a page's vectors become one; `cross_attention` learns which of them matter."
    )
    seed: int = 0
    epochs: int = Field(default=30, ge=1, description="At most.")
    patience: int = Field(default=6, ge=1, description="Epochs without a better one after which a rehearsal stops.")
    batch: int = Field(default=64, ge=2, description="Documents.")
    learning_rate: float = Field(default=1e-3, gt=0, description="The highest, after the warm-up.")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="Share of the steps over which the rate rises.")
    weight_decay: float = Field(default=0.01, ge=0, description="Of weights; not of scale, biases and norms.")
    gradient_clip: float = Field(default=1.0, gt=0, description="Largest norm of the gradient.")
    label_smoothing: float = Field(default=0, ge=0, lt=1)
    classification_weight: float = Field(default=1.0, ge=0, description="Of the loss over all class prototypes.")
    contrastive_weight: float = Field(default=0.1, ge=0, description="Of the loss over the captions of the batch.")
    unfreeze_last_blocks: int = Field(default=0, ge=0, description="Blocks of the encoder that learn too.")
    max_fall: float = Field(
        default=0.05, ge=0, le=1, description="How much the accuracy of a single class may fall for a promotion."
    )
    device: str | None = Field(
        default=None, description="Device of the trainer; none: that of the nodes, `model.device`."
    )
    yield_for: float = Field(
        default=0.2,
        ge=0,
        description="Seconds that a step of training lets tasks go first which wait for the same device, at most.",
    )
    heartbeat: float = Field(default=5, gt=0, description="Seconds between a run's signs of life.")
    silent_for: float = Field(
        default=60, gt=0, description="Seconds without one after which a run is taken for dead and sent again."
    )
    time_limit: float = Field(default=6 * 3600, gt=0, description="Seconds for a run, after which it is ended.")


class Schedule(Section):
    """When what happens by itself: `minute hour day-of-month month day-of-week`, or `disable`."""

    retrain: Cron = Field(default="30 2 * * *", description="Learn from the labels that have come in.")
    class_sets: tuple[str, ...] = Field(default=(), description="Those that are retrained; none: the default set.")
    reap: float = Field(default=30, gt=0, description="Seconds between looks for runs whose trainer died.")
    purge: Cron = Field(default="15 3 * * *", description="Remove what is older than `retention` allows.")


class Retention(Section):
    """How long what is known of documents is kept. A document's class is what a person last said that it is, in
    whatever class set, else what it was last classified as.
    """

    days: int | None = Field(
        default=None,
        ge=1,
        description="Days after which documents that nobody asked about any more are removed with all that is known "
        "of them, labels included, and so are ended jobs; none: they are kept for ever.",
    )
    classes: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict,
        description="Class → days for its documents in place of `days`, be it fewer or more: `payslip: 30`.",
    )


class Callbacks(Section):
    """Where outcomes go that requests want sent to a task of a back office's own: their `callback`."""

    queues: tuple[str, ...] = Field(
        default=(),
        description="Queues that may be named, `*` for any characters: `backoffice*`. None: a callback is refused.",
    )
    resend_after: float = Field(
        default=10, gt=0, description="Seconds after which an outcome that could not be sent is sent by another node."
    )


class Reviewing(Section):
    claim_lapses: float = Field(
        default=1800, gt=0, description="Seconds after which a case that somebody claimed may be claimed by another."
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
        default=2,
        gt=0,
        description="Seconds within which a published class version and a promoted checkpoint are served.",
    )
    metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port of `/metrics` for Prometheus, `/ready` and `/live`, another one for each process of a "
        "machine; none: nowhere.",
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        description="Address that this port is on; in a container `0.0.0.0`. Figures name class sets and classes: "
        "who is not to see them must not get there.",
    )


class Tracing(Section):
    endpoint: str | None = Field(
        default=None,
        description="Where spans of tasks are sent, by OTLP over HTTP: `http://collector:4318/v1/traces`; none: "
        "nowhere. It takes `pip install 'docintake[tracing]'`.",
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
    training: Training = Training()
    schedule: Schedule = Schedule()
    retention: Retention = Retention()
    callbacks: Callbacks = Callbacks()
    reviewing: Reviewing = Reviewing()
    node: Node = Node()
    tracing: Tracing = Tracing()

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.training.store or self.data_dir / "checkpoints"

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
