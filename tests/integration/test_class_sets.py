"""Class sets over their life, on a real PostgreSQL."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, Engine

from core.backends.fake import Fake
from core.class_set import ClassSet, DocumentClass
from core.classify import Classifier
from core.descriptions import Descriptions
from core.errors import RejectedInput
from core.settings import PROJECT, Database, Thresholds
from db import queries
from db.session import make_engine, transaction
from worker import class_sets
from worker.history import deciders
from worker.runtime import encoder_of

LETTER = DocumentClass(
    name="letter", description="a letter to a person", wording=("dear", "sincerely"), captions=("to aunt Ann",)
)
BILL = DocumentClass(name="bill", description="a supplier's bill", wording=("amount due",), templates=("a scan: {}",))
RECIPE = DocumentClass(name="recipe", description="how a dish is cooked", wording=("teaspoon", "oven"))


def papers(*classes: DocumentClass) -> ClassSet:
    return ClassSet(name="papers", classes=classes)


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    with transaction(database) as connection:
        yield connection


def state_of(connection: Connection) -> dict[int, str]:
    return {item.number: item.state for item in queries.list_versions(connection, "papers")}


def three_versions(connection: Connection) -> None:
    """Versions 1, 2 and 3, each published in its turn."""
    for classes in ((LETTER, BILL), (LETTER, RECIPE), (BILL, RECIPE)):
        class_sets.import_draft(connection, papers(*classes))
        class_sets.publish(connection, "papers")


def test_an_imported_set_is_a_draft_and_reads_back_as_it_was(connection: Connection) -> None:
    version, new = class_sets.import_draft(connection, papers(LETTER, BILL))
    assert (version.number, version.state, new) == (1, "draft", True)
    assert class_sets.read(connection, version) == papers(LETTER, BILL)
    assert class_sets.find(connection, "papers") == version


def test_a_set_that_says_what_the_newest_version_says_is_not_kept_again(connection: Connection) -> None:
    class_sets.import_draft(connection, papers(LETTER, BILL))
    version, new = class_sets.import_draft(connection, papers(BILL, LETTER))
    assert (version.number, new) == (1, False)
    assert state_of(connection) == {1: "draft"}
    assert class_sets.import_draft(connection, papers(BILL, LETTER, RECIPE))[1]


def test_what_an_older_version_said_is_kept_as_a_new_one(connection: Connection) -> None:
    three_versions(connection)
    version, new = class_sets.import_draft(connection, papers(LETTER, BILL))
    assert (version.number, new) == (4, True)


def test_publishing_retires_the_version_before(connection: Connection) -> None:
    class_sets.import_draft(connection, papers(LETTER, BILL))
    assert class_sets.publish(connection, "papers").before is None
    class_sets.import_draft(connection, papers(LETTER, RECIPE))
    turn = class_sets.publish(connection, "papers")
    assert (turn.now.number, turn.before and turn.before.number, turn.changed) == (2, 1, True)
    assert state_of(connection) == {1: "retired", 2: "published"}


def test_publishing_the_version_in_service_changes_nothing(connection: Connection) -> None:
    three_versions(connection)
    before = queries.published_version(connection, "papers")
    assert not class_sets.publish(connection, "papers", 3).changed
    assert queries.published_version(connection, "papers") == before


def test_a_draft_that_was_passed_over_is_published_only_by_its_number(connection: Connection) -> None:
    class_sets.import_draft(connection, papers(LETTER, BILL))
    class_sets.import_draft(connection, papers(LETTER, RECIPE))
    class_sets.publish(connection, "papers", 2)
    with pytest.raises(RejectedInput, match="no_draft"):
        class_sets.publish(connection, "papers")
    class_sets.publish(connection, "papers", 1)
    assert state_of(connection) == {1: "published", 2: "retired"}


def test_rolling_back_twice_goes_back_two_versions(connection: Connection) -> None:
    three_versions(connection)
    assert class_sets.roll_back(connection, "papers").now.number == 2
    assert class_sets.roll_back(connection, "papers").now.number == 1
    assert state_of(connection) == {1: "published", 2: "retired", 3: "retired"}
    with pytest.raises(RejectedInput, match=r"nothing_to_roll_back.*--to: 3, 2"):
        class_sets.roll_back(connection, "papers")


def test_rolling_back_skips_versions_that_were_never_in_service(connection: Connection) -> None:
    class_sets.import_draft(connection, papers(LETTER, BILL))
    class_sets.publish(connection, "papers")
    class_sets.import_draft(connection, papers(LETTER, RECIPE))
    class_sets.import_draft(connection, papers(BILL, RECIPE))
    class_sets.publish(connection, "papers")
    assert class_sets.roll_back(connection, "papers").now.number == 1


def test_rolling_back_to_a_named_version_works_and_to_a_draft_does_not(connection: Connection) -> None:
    three_versions(connection)
    assert class_sets.roll_back(connection, "papers", to=1).now.number == 1
    assert class_sets.roll_back(connection, "papers", to=3).now.number == 3
    class_sets.import_draft(connection, papers(LETTER, BILL, RECIPE))
    with pytest.raises(RejectedInput, match="never_published"):
        class_sets.roll_back(connection, "papers", to=4)


def test_unknown_sets_and_versions_are_refused_by_name(connection: Connection) -> None:
    class_sets.import_draft(connection, papers(LETTER, BILL))
    for refused in (class_sets.find, class_sets.publish, class_sets.roll_back):
        with pytest.raises(RejectedInput, match=r"unknown_class_set.*papers"):
            refused(connection, "other")
        with pytest.raises(RejectedInput, match=r"unknown_version.*has no version 7.*newest is 1"):
            refused(connection, "papers", 7)


def test_those_who_publish_at_once_leave_one_version_in_service(database: Engine) -> None:
    with transaction(database) as connection:
        for classes in ((LETTER, BILL), (LETTER, RECIPE), (BILL, RECIPE), (LETTER, BILL, RECIPE)):
            class_sets.import_draft(connection, papers(*classes))

    def publish(number: int) -> None:
        with transaction(database) as connection:
            class_sets.publish(connection, "papers", number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(publish, [1, 2, 3, 4]))
    with transaction(database) as connection:
        assert sorted(state_of(connection).values()) == ["published", "retired", "retired", "retired"]


def test_a_comparison_names_what_came_what_went_and_what_changed_in_what() -> None:
    other = BILL.model_copy(update={"description": "a bill", "wording": ("amount due", "IBAN")})
    difference = class_sets.compare(papers(LETTER, BILL), papers(other, RECIPE))
    assert difference.added == (RECIPE,)
    assert difference.removed == (LETTER,)
    assert [(change.name, change.fields) for change in difference.changed] == [
        (
            "bill",
            {"description": ("a supplier's bill", "a bill"), "wording": (("amount due",), ("amount due", "IBAN"))},
        )
    ]


def test_the_same_classes_in_another_order_make_no_difference() -> None:
    assert class_sets.compare(papers(LETTER, BILL), papers(BILL, LETTER)) == class_sets.Difference((), (), ())


LETTERS = "Dear Ann\nthank you for the flowers\nSincerely yours"
COOKING = "Recipe\nhow this dish is cooked\none teaspoon of salt\nbake it in the oven"


def replayed(database: Engine, encoder: str = "") -> class_sets.Replay:
    backend = Fake()
    with transaction(database) as connection:
        draft = class_sets.find_draft(connection, "papers")
        classifier = Classifier(Descriptions.build(class_sets.read(connection, draft), backend.encode_texts))
    settings = Database(url=SecretStr(database.url.render_as_string(hide_password=False)))
    with deciders(settings, "papers") as those:
        return class_sets.replay(those, draft, classifier, Thresholds(), encoder or encoder_of(backend))


@pytest.fixture
def two_papers(database: Engine, classified: Callable[..., str]) -> tuple[str, str]:
    """A letter and a recipe that was called something else for want of that class, which a draft has."""
    with transaction(database) as connection:
        class_sets.import_draft(connection, papers(LETTER, BILL))
        class_sets.publish(connection, "papers")
    ids = classified(LETTERS), classified(COOKING, uri="file:///inbox/cake.pdf")
    with transaction(database) as connection:
        class_sets.import_draft(connection, papers(LETTER, BILL, RECIPE))
    return ids


def test_a_replay_finds_the_documents_that_would_change_class(database: Engine, two_papers: tuple[str, str]) -> None:
    found = replayed(database)
    assert (found.documents, found.unchanged, found.without_features) == (2, 1, ())
    (move,) = found.moved
    assert (move.document_id, move.uri) == (two_papers[1], "file:///inbox/cake.pdf")
    assert (move.version, move.new) == (1, "recipe")
    assert move.old in ("letter", "bill")


def test_a_replay_changes_nothing(database: Engine, two_papers: tuple[str, str]) -> None:
    with transaction(database) as connection:
        before = list(queries.latest_classifications(connection, "papers"))
    replayed(database)
    with transaction(database) as connection:
        assert list(queries.latest_classifications(connection, "papers")) == before
        assert state_of(connection) == {1: "published", 2: "draft"}


def test_documents_without_features_of_this_encoder_are_named_and_not_judged(
    database: Engine, two_papers: tuple[str, str], classified: Callable[..., str]
) -> None:
    other = classified("Dear Bob\nSincerely", encoder="an older model", class_set="papers")
    found = replayed(database)
    assert found.without_features == (other,)
    assert found.documents == 3
    assert sorted(replayed(database, "no model of ours").without_features) == sorted((*two_papers, other))


def test_a_replay_leaves_documents_of_other_sets_out(
    database: Engine, two_papers: tuple[str, str], classified: Callable[..., str]
) -> None:
    with transaction(database) as connection:
        class_sets.import_draft(connection, ClassSet(name="kitchen", classes=(RECIPE, BILL)))
        class_sets.publish(connection, "kitchen")
    for dish in ("rice", "soup", "cake", "tart"):
        classified(f"{dish}\none teaspoon of salt\ninto the oven", class_set="kitchen")
    assert replayed(database).documents == 2


def test_documentation_holds_descriptions_and_example_captions(connection: Connection) -> None:
    version, _ = class_sets.import_draft(connection, papers(LETTER, BILL))
    content = class_sets.read(connection, version)
    page = class_sets.documentation_as_markdown(version, content)
    assert page.startswith("# papers\n\nVersion 1, draft: 2 classes.\n")
    assert "\n## letter\n\na letter to a person\n" in page
    assert "`dear`, `sincerely`" in page
    assert "\n- to aunt Ann\n" in page
    data = class_sets.documentation(version, content)
    assert data["classes"][0] == LETTER.model_dump(mode="json")
    assert (data["class_set"], data["version"], data["state"]) == ("papers", 1, "draft")


def test_the_default_sets_are_published_once_and_then_left_alone(database: Engine, tmp_path: Path) -> None:
    file = tmp_path / "papers.yaml"
    file.write_text(papers(LETTER, BILL).to_yaml())
    assert class_sets.ensure_default(database, tmp_path) == ["papers"]
    file.write_text(papers(LETTER, RECIPE).to_yaml())
    assert class_sets.ensure_default(database, tmp_path) == []
    with transaction(database) as connection:
        assert state_of(connection) == {1: "published"}
        assert class_sets.read(connection, class_sets.find(connection, "papers")) == papers(LETTER, BILL)


def test_machines_that_start_together_publish_the_default_sets_once(database: Engine, tmp_path: Path) -> None:
    (tmp_path / "papers.yaml").write_text(papers(LETTER, BILL).to_yaml())
    engine = make_engine(database.url.render_as_string(hide_password=False), statement_timeout=30, pool_size=4)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: class_sets.ensure_default(engine, tmp_path), range(4)))
    engine.dispose()
    assert sorted(made) == [[], [], [], ["papers"]]


def test_the_sets_that_ship_with_the_project_can_be_published(database: Engine) -> None:
    assert "intake" in class_sets.ensure_default(database, PROJECT / "configs" / "classes")
    with transaction(database) as connection:
        assert len(class_sets.read(connection, class_sets.find(connection, "intake")).classes) >= 15
