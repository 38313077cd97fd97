"""Documents taken in through the real reader into a real PostgreSQL: nothing is done twice."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from printed import file_of, pdf, picture
from serving import Serving
from sqlalchemy import text

from core.backends import Vectors
from core.contract import DocumentReference
from core.documents import Document
from core.errors import RejectedInput
from core.reading import ReadDocument
from db.session import transaction
from worker import intake
from worker.intake import Encoded, Intake, Seen, encode, render, see, take_in


class Spied:
    """What the runtime was asked to read and to encode."""

    def __init__(self) -> None:
        self.fetched: list[str | None] = []
        self.read: list[str] = []
        self.encoded = 0


@pytest.fixture
def spied(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spied]:
    spied = Spied()
    read, run, fetch = serving.runtime.reader.read, serving.runtime.backend.encode_documents, intake.fetch

    def spied_fetch(reference: DocumentReference, *rest: object) -> Document:
        spied.fetched.append(reference.uri)
        return fetch(reference, *rest)  # type: ignore[arg-type] # handed on as it came

    def spied_read(document: Document, pages: str) -> ReadDocument:
        spied.read.append(pages)
        return read(document, pages)

    def spied_run(batch: Sequence[object]) -> list[Vectors]:
        spied.encoded += len(batch)
        return run(batch)

    monkeypatch.setattr(intake, "fetch", spied_fetch)
    monkeypatch.setattr(serving.runtime.reader, "read", spied_read)
    monkeypatch.setattr(serving.runtime.backend, "encode_documents", spied_run)
    return spied


def take(serving: Serving, reference: DocumentReference | str, pages: str = "all") -> Intake:
    if isinstance(reference, str):
        reference = DocumentReference(uri=reference)
    return take_in(serving.runtime, reference, pages, {})


def features(serving: Serving, taken: Intake) -> Encoded:
    return encode(serving.runtime, taken, {})


def by_id(taken: Intake) -> DocumentReference:
    return DocumentReference(document_id=taken.document.document_id)


def path_of(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def code_of(serving: Serving, reference: DocumentReference, pages: str = "all") -> str:
    with pytest.raises(RejectedInput) as caught:
        take(serving, reference, pages)
    return caught.value.code


def test_a_new_document_is_read_and_known_by_its_hash(serving: Serving, spied: Spied) -> None:
    uri = serving.file("receipt", pages=3)
    taken = take(serving, uri)
    assert taken.document.document_id == hashlib.sha256(path_of(uri).read_bytes()).hexdigest()
    assert (taken.document.media_type, taken.document.page_count) == ("application/pdf", 3)
    assert [(page.number, page.source) for page in taken.pages] == [(n, "text_layer") for n in (1, 2, 3)]
    assert all("receipt" in page.text for page in taken.pages)
    assert (taken.cached, spied.read, spied.encoded) == (False, ["all"], 0)


def test_a_document_seen_before_is_not_read_again(serving: Serving, spied: Spied) -> None:
    uri = serving.file("receipt", pages=2)
    first, again = (take(serving, uri) for _ in range(2))
    assert (first.cached, again.cached, spied.read) == (False, True, ["all"])
    assert again.pages == first.pages


def test_pages_are_encoded_once_and_not_read_for_it(serving: Serving, spied: Spied) -> None:
    uri = serving.file("receipt", pages=2)
    first, again = (features(serving, take(serving, uri)) for _ in range(2))
    assert (first.cached, again.cached) == (False, True)
    assert (spied.read, spied.encoded) == (["all"], 2)
    for (number, made), (of_page, stored) in zip(first.pages, again.pages, strict=True):
        assert number == of_page
        assert made
        assert stored
        assert made.to_bytes() == stored.to_bytes()


def test_features_outlive_the_page_that_they_were_made_of(serving: Serving, spied: Spied) -> None:
    uri = serving.file("receipt", pages=2)
    features(serving, take(serving, uri))
    with transaction(serving.database) as connection:
        connection.execute(text("DELETE FROM pages WHERE number = 2"))
    taken = take(serving, uri)
    assert (taken.cached, taken.numbers, features(serving, taken).cached) == (False, [1, 2], True)
    assert (spied.read, spied.encoded) == (["all", "2"], 2)


def look(serving: Serving, uri: str, pages: str = "all") -> Seen:
    return see(serving.runtime, DocumentReference(uri=uri), pages, {})


def test_what_is_seen_of_a_known_document_is_what_was_seen_of_the_new_one(serving: Serving, spied: Spied) -> None:
    uri = serving.file("receipt", pages=3)
    new, known, some = look(serving, uri), look(serving, uri), look(serving, uri, "2-9")
    assert (new.cached, known.cached, some.cached) == (False, True, True)
    assert (spied.read, spied.encoded) == (["all"], 3)
    assert (known.document, known.sources) == (new.document, new.sources)
    assert [(number, made and made.to_bytes()) for number, made in known.pages] == [
        (number, made and made.to_bytes()) for number, made in new.pages
    ]
    assert [number for number, _ in some.pages] == [number for number, _ in some.sources] == [2, 3]


def test_what_is_missing_of_a_known_document_is_read_and_encoded(serving: Serving, spied: Spied) -> None:
    uri = serving.file("receipt", pages=3)
    look(serving, uri, "1")
    take(serving, uri, "2")
    seen = look(serving, uri, "1-3")
    assert [number for number, _ in seen.pages] == [1, 2, 3]
    assert (seen.cached, spied.read, spied.encoded, len(spied.fetched)) == (False, ["1", "2", "3"], 3, 3)


def test_a_known_document_has_no_page_beyond_its_end_and_no_more_than_may_be_read(serving: Serving) -> None:
    uri = serving.file("receipt", pages=2)
    look(serving, uri)
    with pytest.raises(RejectedInput) as caught:
        look(serving, uri, "3-4")
    assert caught.value.code == "no_such_page"


def test_the_pixels_of_a_stored_page_are_those_of_the_document_upright(serving: Serving, spied: Spied) -> None:
    file = serving.inbox / "sideways.png"
    file.write_bytes(file_of(picture().rotate(90, expand=True)))
    first = take(serving, file.as_uri())
    known = take(serving, by_id(first))
    (page,) = known.pages
    (pixels,) = render(serving.runtime, known, known.pages, {})
    assert pixels.shape == (page.height, page.width, 3)
    assert pixels.shape[1] > pixels.shape[0]
    assert spied.read == ["all"]
    path_of(file.as_uri()).unlink()
    with pytest.raises(RejectedInput, match="not_found"):
        render(serving.runtime, known, known.pages, {})


def test_a_document_asked_for_by_its_id_is_not_even_fetched(serving: Serving, spied: Spied) -> None:
    uri = serving.file("receipt")
    first = take(serving, uri)
    path_of(uri).unlink()
    again = take(serving, by_id(first))
    assert (again.cached, again.document) == (True, first.document)
    assert (spied.fetched, spied.read) == ([uri], ["all"])


def test_the_same_bytes_from_elsewhere_are_the_same_document(serving: Serving, spied: Spied) -> None:
    uri = serving.file("receipt")
    content = path_of(uri).read_bytes()
    (serving.inbox / "copy.pdf").write_bytes(content)
    first = take(serving, uri)
    assert take(serving, (serving.inbox / "copy.pdf").as_uri()).document == first.document
    assert take(serving, DocumentReference(content=base64.b64encode(content).decode())).cached
    assert spied.read == ["all"]


def test_only_the_pages_that_are_missing_are_read(serving: Serving, spied: Spied) -> None:
    uri = serving.file("receipt", pages=5)
    middle = take(serving, uri, "2,4")
    features(serving, middle)
    assert middle.numbers == [2, 4]
    whole = take(serving, uri, "all")
    features(serving, whole)
    assert whole.numbers == [1, 2, 3, 4, 5]
    assert not whole.cached
    assert take(serving, uri, "3-5").cached
    assert spied.read == ["2,4", "1,3,5"]
    assert spied.encoded == 5


def test_missing_pages_of_a_known_id_are_read_from_where_it_came(serving: Serving, spied: Spied) -> None:
    uri = serving.file("receipt", pages=2)
    first = take(serving, uri, "first")
    assert take(serving, by_id(first), "all").numbers == [1, 2]
    assert (spied.fetched, spied.read) == ([uri, uri], ["first", "2"])


def test_pages_come_in_page_order_whatever_the_request_says(serving: Serving) -> None:
    uri = serving.file("receipt", pages=4)
    assert take(serving, uri, "4,1-2").numbers == [1, 2, 4]
    assert take(serving, uri, "4,1-2").numbers == [1, 2, 4]


def test_pages_beyond_the_end_are_refused_for_new_and_known_documents_alike(serving: Serving) -> None:
    uri = DocumentReference(uri=serving.file("receipt", pages=2))
    assert code_of(serving, uri, "3-4") == "no_such_page"
    assert take(serving, uri, "2-4").numbers == [2]
    assert code_of(serving, uri, "3-4") == "no_such_page"


def test_a_blank_page_is_kept_as_blank_and_not_read_again(serving: Serving, spied: Spied) -> None:
    file = serving.inbox / "blank.tiff"
    pages = [picture((), (600, 800)), picture(("RECEIPT", "Total 3.40"), (600, 400))]
    file.write_bytes(file_of(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    for _ in range(2):
        taken = take(serving, file.as_uri())
        assert [page.source for page in taken.pages] == ["blank", "ocr"]
        assert [made is None for _, made in features(serving, taken).pages] == [True, False]
    assert (taken.cached, spied.read, spied.encoded) == (True, ["all"], 1)


def test_an_id_that_was_never_seen_is_refused(serving: Serving) -> None:
    assert code_of(serving, DocumentReference(document_id="0" * 64)) == "unknown_document"


def test_an_inline_document_can_be_asked_for_by_id_for_what_was_read_of_it_alone(serving: Serving) -> None:
    content = pdf(["receipt", "inline"], pages=2)
    first = take(serving, DocumentReference(content=base64.b64encode(content).decode()), "first")
    assert take(serving, by_id(first), "first").numbers == [1]
    assert code_of(serving, by_id(first), "all") == "document_gone"


def test_a_file_that_was_removed_or_replaced_is_not_mistaken_for_the_document(serving: Serving) -> None:
    uri = serving.file("receipt", pages=2)
    first = take(serving, uri, "first")
    path_of(uri).write_bytes(pdf(["another letter"], pages=2))
    assert code_of(serving, by_id(first), "all") == "document_changed"
    path_of(uri).unlink()
    assert code_of(serving, by_id(first), "all") == "not_found"
    assert take(serving, by_id(first), "first").numbers == [1]


def test_another_encoder_makes_features_of_its_own(
    serving: Serving, spied: Spied, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = take(serving, serving.file("receipt"))
    features(serving, taken)
    monkeypatch.setattr(serving.runtime, "encoder", "another model")
    assert not features(serving, taken).cached
    assert features(serving, taken).cached
    assert (spied.read, spied.encoded) == (["all"], 2)


def test_a_refused_document_leaves_nothing_behind(serving: Serving) -> None:
    file = serving.inbox / "broken.pdf"
    file.write_bytes(b"%PDF-1.7\nnothing more")
    assert code_of(serving, DocumentReference(uri=file.as_uri())) == "unreadable"
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    with transaction(serving.database) as connection:
        assert intake.queries.get_document(connection, sha256) is None
