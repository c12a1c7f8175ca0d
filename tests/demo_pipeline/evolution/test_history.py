"""The history is append-only: an edit of it is noticed, and registering only adds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.demo_pipeline.evolution.change_table import field
from tests.demo_pipeline.evolution.shop import NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.demo_pipeline.evolution.shop import Shop

ID = field("id", "string")
NEW = field("n", "int", default=1)


def test_registering_adds_the_next_version_with_the_next_id(shop: Shop) -> None:
    shop.released(ID)
    before = {file: file.read_text() for file in (shop.folder / "history").rglob("*.avsc")}
    first = shop.ids["1"]
    shop.edit(ID, NEW)

    code, out, _ = shop.run("register")

    assert (0, "OrderPlaced version 2 has the id 2 in the history\n") == (code, out)
    assert ["1", "2"] == list(shop.ids)
    assert first == shop.ids["1"]
    assert ("demo_pipeline.OrderPlaced", 2) == (shop.ids["2"]["subject"], shop.ids["2"]["version"])
    assert before == {file: file.read_text() for file in before}
    current = (shop.folder / f"{NAME}.avsc").read_text()
    assert current == (shop.folder / "history" / NAME / "v2.avsc").read_text()


def test_registering_twice_adds_nothing(shop: Shop) -> None:
    shop.released(ID)
    before = shop.ids

    code, out, _ = shop.run("register")

    assert (0, "nothing is new in the history\n", before) == (code, out, shop.ids)


def test_a_schema_is_compared_by_what_readers_see(shop: Shop) -> None:
    shop.released(ID)
    shop.edit(field("id", {"type": "string"}, doc="of the order"), doc="The order is placed.")

    assert [] == shop.findings()


def test_an_incompatible_schema_is_not_registered(shop: Shop) -> None:
    shop.released(ID)
    shop.edit(ID, field("n", "int"))
    before = sorted((shop.folder / "history").rglob("*")), shop.ids

    code, out, err = shop.run("register")

    assert 1 == code
    assert "OrderPlaced: incompatible change" in out
    assert "n is new and has no default, so records of version 1 cannot be read" in out
    assert "Fix: give it a default" in out
    assert "1 problem in 1 schema: the schemas may not be released" in err
    assert before == (sorted((shop.folder / "history").rglob("*")), shop.ids)


def test_a_schema_that_is_not_registered_is_refused_with_a_hint(shop: Shop) -> None:
    shop.released(ID)
    shop.edit(ID, NEW)

    (finding,) = shop.findings()

    assert "unregistered" == finding["verdict"]
    assert (
        "OrderPlaced differs from version 1, so no record can be written with it"
        == finding["reason"]
    )
    assert "register it: python -m demo_pipeline schemas register OrderPlaced" == finding["fix"]


def test_a_message_without_a_schema_is_refused(shop: Shop) -> None:
    (finding,) = shop.findings()

    assert ("missing", "the message OrderPlaced has no schema") == (
        finding["verdict"],
        finding["reason"],
    )
    assert "OrderPlaced.avsc, and register it" in finding["fix"]


def _edit(old: str, new: str) -> Callable[[Path], object]:
    return lambda file: file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize(
    "alter",
    [
        _edit('"string"', '"bytes"'),
        _edit('"default": 1', '"default": 2'),
        _edit('"id"', '"identity"'),
        _edit('"name": "n"', '"name": "n", "aliases": ["m"]'),
    ],
    ids=["type", "default", "name", "alias"],
)
def test_an_altered_version_is_noticed(shop: Shop, alter: Callable[[Path], object]) -> None:
    shop.released(ID, NEW)
    alter(shop.folder / "history" / NAME / "v1.avsc")

    faults = [each for each in shop.findings() if each["verdict"] == "history"]

    assert ["version 1 was altered: "] == [each["reason"][:23] for each in faults]
    assert "from version control, and change OrderPlaced.avsc instead" in faults[0]["fix"]
    assert 1 == shop.run("register")[0]


def _ids(change: Callable[[dict[str, dict[str, object]]], object]) -> Callable[[Path], object]:
    def changed(folder: Path) -> None:
        file = folder / "history" / "ids.json"
        ids = json.loads(file.read_text())
        change(ids)
        file.write_text(json.dumps(ids))

    return changed


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "history" / NAME / "v1.avsc").unlink(), "version 1 was removed"),
        (lambda folder: (folder / "history" / NAME / "v2.avsc").unlink(), "version 2 was removed"),
        (lambda folder: (folder / "history" / NAME / "v3.avsc").write_text("{}"), "is not in ids"),
        (lambda folder: (folder / "history" / "ids.json").unlink(), "ids.json is missing"),
        (lambda folder: (folder / "history" / "ids.json").write_text("no"), "cannot be read"),
        (
            lambda folder: (folder / "history" / "ids.json").write_text('{"1": {}, "1": {}}'),
            "cannot be read: a key stands there twice",
        ),
        (_ids(lambda ids: ids.pop("1")), "the versions of OrderPlaced in "),
        (_ids(lambda ids: ids.update({"5": ids.pop("2")})), "the ids in "),
        (_ids(lambda ids: ids["2"].update(version=3)), "do not count up from 1"),
        (_ids(lambda ids: ids["2"].update(fingerprint="")), "version 2 was altered"),
        (
            lambda folder: (folder / "history" / NAME / "v2.avsc").write_text("[]"),
            "a message must be a record",
        ),
        (lambda folder: (folder / f"{NAME}.avsc").write_text("{"), "this is no JSON"),
        (
            lambda folder: _edit("OrderPlaced", "OrderTaken")(folder / f"{NAME}.avsc"),
            "must be called demo_pipeline.OrderPlaced, like its file",
        ),
    ],
)  # fmt: skip
def test_damaged_files_are_noticed_and_stop_a_registration(
    shop: Shop, damage: Callable[[Path], object], reason: str
) -> None:
    shop.released(ID)
    shop.released(ID, NEW)
    damage(shop.folder)

    findings = shop.findings()
    faults = [each for each in findings if each["verdict"] == "history"]

    # No advice to register what only has to be restored.
    assert "unregistered" not in {each["verdict"] for each in findings}
    assert any(reason in each["reason"] for each in faults), faults
    assert all(each["fix"] for each in faults)
    assert 1 == shop.run("register")[0]


@pytest.mark.parametrize("text", [None, "no"])
def test_nothing_is_to_be_deleted_because_the_ids_are_lost(shop: Shop, text: str | None) -> None:
    shop.released(ID)
    file = shop.folder / "history" / "ids.json"
    file.unlink()
    if text is not None:
        file.write_text(text)

    (fault,) = shop.findings()

    assert fault["fix"].startswith("restore ")


def test_a_folder_that_cannot_be_written_is_one_line(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.edit(ID)
    (shop.folder / "history").mkdir()
    (shop.folder / "history" / NAME).write_text("a file where a folder must be")

    code, _, err = shop.run("register")

    assert 1 == code
    assert "cannot write the history" in err
    assert "is the folder writable?" in err
