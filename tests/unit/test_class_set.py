"""Classes as people describe them, in files and in requests."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.class_set import ClassSet, DocumentClass
from core.errors import RejectedInput

FILE = """
name: office
classes:
  letter: something that people write to each other
  bank_statement:
    description: "  what happened on an account  "
    wording: [opening balance, IBAN]
    templates: ["a scan of {}"]
    captions: [March at the savings bank]
  other:
"""
OFFICE = ClassSet(
    name="office",
    classes=(
        DocumentClass(name="letter", description="something that people write to each other"),
        DocumentClass(
            name="bank_statement",
            description="what happened on an account",
            wording=("opening balance", "IBAN"),
            templates=("a scan of {}",),
            captions=("March at the savings bank",),
        ),
        DocumentClass(name="other"),
    ),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "classes.yaml"


def test_a_file_names_classes_by_description_by_fields_or_by_name_alone(file: Path) -> None:
    file.write_text(FILE)
    assert ClassSet.from_yaml(file) == OFFICE


def test_a_file_may_list_its_classes(file: Path) -> None:
    file.write_text("name: office\nclasses: [{name: letter}, {name: other, description: anything else}]")
    assert ClassSet.from_yaml(file).names == ["letter", "other"]


def test_what_is_written_reads_as_the_same_set(file: Path) -> None:
    umlauts = DocumentClass(name="Kündigung: 1", description="'quoted', {braced}\nand\ttwo lines: #no comment")
    office = ClassSet(name="office", classes=(*OFFICE.classes, umlauts))
    file.write_text(office.to_yaml(), encoding="utf-8")
    assert ClassSet.from_yaml(file) == office
    assert "Kündigung" in office.to_yaml()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: office\nclasses: {only: one}", "classes: .*at least 2"),
        ("name: office\nclasses: [{name: a}, {name: b}, {name: a}]", "more than once: a"),
        ("name: office\nclasses: {a: {descripton: x}, b: y}", r"classes\.0\.descripton"),
        ("name: office\nclasses: {a: {templates: [no place]}, b: y}", r"classes\.0: .*'no place' of class 'a'"),
        ("name: office\nclasses: {a: {templates: ['{} and {}']}, b: y}", "exactly one {}"),
        ("name: office\nclasses: {yes: x, b: y}", r"classes\.0\.name"),
        ("name: office\nclasses: {a: [1], b: y}", r"classes\.0\.description"),
        ("name: office\nclasses: {' ': x, b: y}", r"classes\.0\.name"),
        ("name: in the office\nclasses: {a: x, b: y}", "name"),
        ("classes: {a: x, b: y}", "name: Field required"),
        ("name: office", "classes: Field required"),
        ("name: office\nclass: {a: x, b: y}", "class: Extra"),
        ("- a\n- b", "file: "),
        ("", "file: "),
    ],
)
def test_what_is_wrong_with_a_file_is_said(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(RejectedInput, match=f"(?s)bad_class_file: {file} is no class set: .*{said}"):
        ClassSet.from_yaml(file)


@pytest.mark.parametrize("content", [None, b"name: [", b"\xff\xfe\x00"], ids=["missing", "no YAML", "no UTF-8"])
def test_a_file_that_cannot_be_read_is_named(file: Path, content: bytes | None) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RejectedInput, match=f"bad_class_file: {file} cannot be read"):
        ClassSet.from_yaml(file)


def test_the_digest_is_of_what_the_classes_say() -> None:
    renamed = ClassSet(name="other-name", classes=OFFICE.classes)
    turned = ClassSet(name="office", classes=OFFICE.classes[::-1])
    assert OFFICE.digest == renamed.digest == turned.digest


@pytest.mark.parametrize(
    "change",
    [
        {"name": "letters"},
        {"description": "a short one"},
        {"wording": ("dear",)},
        {"templates": ("a copy of {}",)},
        {"captions": ("to aunt Ann",)},
    ],
)
def test_the_digest_changes_with_anything_that_a_class_says(change: dict[str, object]) -> None:
    first, *rest = OFFICE.classes
    changed = ClassSet(name="office", classes=(first.model_copy(update=change), *rest))
    assert changed.digest != OFFICE.digest


def test_the_digest_is_the_same_in_every_process() -> None:
    tiny = ClassSet(name="tiny", classes=(DocumentClass(name="a"), DocumentClass(name="b")))
    assert tiny.digest == "86c6d6f9047f31a4b98089e441c32e240deeadbcb4f76c45c1b0b4026aa87989"


def test_one_off_classes_are_names_or_names_with_descriptions() -> None:
    assert ClassSet.one_off(["letter", "bill"]).names == ["letter", "bill"]
    described = ClassSet.one_off({"letter": "from a person", "bill": ""})
    assert [(item.name, item.description) for item in described.classes] == [
        ("letter", "from a person"),
        ("bill", ""),
    ]
    assert described.digest != ClassSet.one_off(["letter", "bill"]).digest


def test_a_class_is_called_by_its_name_in_plain_words() -> None:
    assert DocumentClass(name="bank_statement-annual").words == "bank statement annual"


def test_a_set_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        OFFICE.name = "home"  # type: ignore[misc] # the point of the test
    with pytest.raises(ValidationError, match="frozen"):
        OFFICE.classes[0].description = "changed"  # type: ignore[misc] # the point of the test


def test_every_set_that_ships_is_one() -> None:
    shipped = sorted((Path(__file__).parents[2] / "configs" / "classes").glob("*.yaml"))
    assert shipped
    for path in shipped:
        assert ClassSet.from_yaml(path).name == path.stem


def test_a_class_that_stands_twice_in_a_file_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "classes.yaml"
    file.write_text("name: mail\nclasses:\n  bill: one\n  letter: two\n  bill: three\n")
    with pytest.raises(RejectedInput, match="bill stands more than once"):
        ClassSet.from_yaml(file)
