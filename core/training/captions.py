"""Captions: files of captioned images, and sentences that stand for a class where nobody wrote any."""

from dataclasses import dataclass
from itertools import chain, cycle, islice
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from core.class_set import DocumentClass
from core.errors import RejectedInput
from core.prompts import prompts_of

_FAULTS = 5
"""Faults of a file that its refusal names; the rest are counted."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    image: str = Field(min_length=1)
    caption: str = Field(min_length=1, max_length=4000)
    label: str = Field(alias="class", min_length=1)


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """An image of a captions file: its URI, all captions that the file has for it, and its class."""

    uri: str
    captions: tuple[str, ...]
    label: str


def read_captions(content: bytes, images: str) -> list[CaptionedImage]:
    """Parse `[{"image": …, "caption": …, "class": …}, …]`; image names are relative to the URI `images`.

    An image may stand there several times with one class. Raises RejectedInput(`bad_captions`) that names what is
    wrong: entry and field.
    """
    try:
        entries = TypeAdapter(list[_Entry]).validate_json(content)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        ]
        more = f"; and {len(faults) - _FAULTS} more" if len(faults) > _FAULTS else ""
        raise RejectedInput(
            "bad_captions",
            'a captions file is [{"image": "a.png", "caption": "…", "class": "…"}, …]: '
            + "; ".join(faults[:_FAULTS])
            + more,
        ) from error
    by_image: dict[str, list[_Entry]] = {}
    for entry in entries:
        by_image.setdefault(entry.image, []).append(entry)
    for image, own in by_image.items():
        if len({entry.label for entry in own}) > 1:
            raise RejectedInput("bad_captions", f"image {image!r} is said to be of more than one class")
    # A plain path is taken as it stands; a URI is decoded.
    place = quote if ":" in images else str
    return [
        CaptionedImage(
            f"{images.rstrip('/')}/{place(image)}", tuple(dict.fromkeys(entry.caption for entry in own)), own[0].label
        )
        for image, own in by_image.items()
    ]


def augmented(captions: tuple[str, ...], item: DocumentClass, least: int) -> list[str]:
    """The captions, and as many more, made of what its class says, as they are fewer than `least`."""
    made = chain(
        item.captions, prompts_of(item), (f"{item.words} with the words {phrase}" for phrase in item.wording)
    )
    own = list(dict.fromkeys([*captions, *made]))
    wanted = max(least, len(captions))
    return list(islice(cycle(own), wanted)) if len(own) < wanted else own[:wanted]
