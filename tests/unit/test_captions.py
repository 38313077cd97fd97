import json

import pytest

from core.class_set import DocumentClass
from core.errors import RejectedInput
from core.training.captions import CaptionedImage, augmented, read_captions

BILL = DocumentClass(
    name="phone_bill",
    description="asks for money",
    wording=("amount due", "tariff"),
    captions=("a bill for calls",),
)


def entry(image: object = "a.png", caption: str = "a bill", label: str = "bill", **more: object) -> dict[str, object]:
    return {"image": image, "caption": caption, "class": label, **more}


def read(*entries: object, images: str = "file:///srv/images") -> list[CaptionedImage]:
    return read_captions(json.dumps(entries).encode(), images)


def refusal(content: bytes) -> str:
    with pytest.raises(RejectedInput) as caught:
        read_captions(content, "file:///srv/images")
    assert caught.value.code == "bad_captions"
    return caught.value.message


def test_an_image_has_a_place_its_caption_and_its_class() -> None:
    assert read(entry()) == [CaptionedImage("file:///srv/images/a.png", ("a bill",), "bill")]


def test_a_file_of_nothing_has_no_images() -> None:
    assert read() == []


def test_an_image_may_have_several_captions_and_a_repeated_one_counts_once() -> None:
    one, other = read(entry(caption="  x "), entry("b.png"), entry(caption="y"), entry(caption="x"))
    assert (one.captions, other.uri) == (("x", "y"), "file:///srv/images/b.png")


def test_an_image_of_two_classes_is_refused_by_name() -> None:
    message = refusal(json.dumps([entry(), entry("b.png"), entry("b.png", label="note")]).encode())
    assert "'b.png'" in message
    assert "a.png" not in message


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("May bill.png", "file:///srv/images/May%20bill.png"),
        ("50%?#1.png", "file:///srv/images/50%25%3F%231.png"),
        ("märz/a.png", "file:///srv/images/m%C3%A4rz/a.png"),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_names_are_quoted_into_the_uri(name: str, uri: str, slash: str) -> None:
    assert read(entry(name), images="file:///srv/images" + slash)[0].uri == uri


def test_a_plain_folder_takes_names_as_they_stand() -> None:
    assert read(entry("May 50%.png"), images="/srv/images/")[0].uri == "/srv/images/May 50%.png"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"image": "a.png", "caption": "x"}, "1.class"),
        (entry(caption=" "), "1.caption"),
        (entry(caption="x" * 4001), "1.caption"),
        (entry(image=""), "1.image"),
        (entry(image=7), "1.image"),
        (entry(colour="red"), "1.colour"),
        ("a.png", "1: "),
    ],
)
def test_a_fault_is_named_by_entry_and_field(wrong: object, named: str) -> None:
    assert named in refusal(json.dumps([entry(), wrong]).encode())


@pytest.mark.parametrize("content", [b"", b"[", b"\xff\xfe", b'{"image": "a.png"}', b"null"])
def test_what_is_no_list_of_entries_is_refused(content: bytes) -> None:
    assert "file: " in refusal(content)


def test_a_refusal_shows_no_caption_and_counts_what_it_does_not_name() -> None:
    message = refusal(json.dumps([entry(caption="secret", label="")] * 8).encode())
    assert "secret" not in message
    assert "4.class" in message
    assert "5.class" not in message
    assert message.endswith("; and 3 more")


@pytest.mark.parametrize("least", [1, 3, 4, 7, 40])
@pytest.mark.parametrize("captions", [(), ("one",), ("one", "two", "three", "four", "five")])
def test_there_are_as_many_captions_as_wanted_and_all_that_people_wrote(
    captions: tuple[str, ...], least: int
) -> None:
    found = augmented(captions, BILL, least)
    assert len(found) == max(least, len(captions))
    assert tuple(found[: len(captions)]) == captions


def test_captions_are_made_of_all_that_the_class_says_before_any_is_repeated() -> None:
    found = augmented((), BILL, 50)
    distinct = list(dict.fromkeys(found))
    assert found[: len(distinct)] == distinct
    for said in ("phone bill", "asks for money", "amount due", "tariff", "a bill for calls"):
        assert any(said in caption for caption in distinct)


def test_a_class_of_a_bare_name_has_captions_too() -> None:
    found = augmented((), DocumentClass(name="note"), 6)
    assert len(found) == 6
    assert all("note" in caption for caption in found)
