"""Documents whose classes are known, as the reader would have left them: every kind has words of its own."""

import hashlib
import random

from core.backends.fake import Fake
from core.evaluation import KnownDocument
from core.features import features_of
from core.page import Line, Page

WORDS = {
    "invoice": ["invoice", "amount", "due", "supplier", "payment", "terms"],
    "letter": ["dear", "sincerely", "regards", "yours", "writing", "hope"],
    "recipe": ["teaspoon", "oven", "bake", "flour", "butter", "minutes"],
    "menu": ["starters", "mains", "desserts", "soup", "salad", "wine"],
    "poem": ["rain", "roof", "night", "moon", "silver", "heart"],
}


def known(truth: str, index: int, *, blank: bool = False) -> KnownDocument:
    """A page of that class; the same index gives the same content."""
    draw = random.Random(f"{truth} {index}")
    lines = [" ".join(draw.choices(WORDS[truth], k=4)) for _ in range(6)]
    page = Page(
        1, 1000, 1400, "ocr", tuple(Line(line, (50, 60 * row, 700, 60 * row + 20)) for row, line in enumerate(lines))
    )
    model = Fake()
    prepared = model.prepare(page)
    features = features_of(page, model.encode_documents([prepared])[0])
    return KnownDocument(
        f"{truth}/{index}.png",
        truth,
        0.1,
        hashlib.sha256(page.text.encode()).hexdigest(),
        ((1, None if blank else features),),
        page.text,
        prepared=(prepared,),
    )
