"""Document classes as people describe them, and the YAML file that holds a set of them."""

import hashlib
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import RejectedInput


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key may stand only once in a mapping: else one of two classes of a name would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"{', '.join(sorted(map(str, twice)))} stands more than once", node.start_mark
            )
        return super().construct_mapping(node, deep)


class DocumentClass(BaseModel):
    """One class: what it is called, and what a person would say it is.

    `wording` lists words and phrases that are typically printed on such documents; `templates` are sentences
    with `{}` in place of the description, used beside the general ones; `captions` are example captions, for
    people to read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=4000)
    wording: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _templates_have_a_place(self) -> Self:
        for template in self.templates:
            if template.count("{}") != 1:
                raise ValueError(f"template {template!r} of class {self.name!r} needs exactly one {{}}")
        return self

    @property
    def words(self) -> str:
        """The name in plain words: `bank_statement` → `bank statement`."""
        return self.name.replace("_", " ").replace("-", " ").strip()


class ClassSet(BaseModel):
    """A named set of classes that compete for a document; the order carries no meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    classes: tuple[DocumentClass, ...] = Field(min_length=2)

    @model_validator(mode="before")
    @classmethod
    def _from_mapping(cls, value: Any) -> Any:
        # In a file, classes is a mapping from name to its other fields, or to the description alone.
        if not isinstance(value, dict) or not isinstance(value.get("classes"), dict):
            return value
        classes = [
            {"name": name, **({"description": rest or ""} if not isinstance(rest, dict) else rest)}
            for name, rest in value["classes"].items()
        ]
        return {**value, "classes": classes}

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"class names stand more than once: {', '.join(twice)}")
        return self

    @property
    def names(self) -> list[str]:
        return [item.name for item in self.classes]

    @property
    def digest(self) -> str:
        """SHA-256 of what the classes say, whatever the set is called and whatever their order."""
        ordered = sorted(self.classes, key=lambda item: item.name)
        return hashlib.sha256("\n".join(item.model_dump_json() for item in ordered).encode()).hexdigest()

    @classmethod
    def one_off(cls, classes: list[str] | dict[str, str]) -> Self:
        """The classes that a request brought along: names, or name → description."""
        pairs = classes.items() if isinstance(classes, dict) else ((name, "") for name in classes)
        return cls(name="one-off", classes=tuple(DocumentClass(name=name, description=text) for name, text in pairs))

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Read a set from a file. Raises RejectedInput(`bad_class_file`) that says what is wrong where."""
        try:
            content = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506 - a SafeLoader
            return cls.model_validate(content)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise RejectedInput("bad_class_file", f"{path} cannot be read as YAML: {error}") from error
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}"
                for fault in error.errors()
            )
            raise RejectedInput("bad_class_file", f"{path} is no class set: {faults}") from error

    def to_yaml(self) -> str:
        """The set as a file, such as `from_yaml` reads."""
        classes = {
            item.name: item.model_dump(mode="json", exclude={"name"}, exclude_defaults=True) for item in self.classes
        }
        return yaml.safe_dump({"name": self.name, "classes": classes}, sort_keys=False, allow_unicode=True, width=100)
