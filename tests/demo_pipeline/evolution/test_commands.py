"""The commands `schemas check`, `diff` and `register` as people and machines see them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from demo_pipeline.__main__ import main
from tests.demo_pipeline.evolution.change_table import field
from tests.demo_pipeline.runtime.fake_registry import FakeRegistry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.demo_pipeline.evolution.shop import Shop

ID = field("id", "string")
N = field("n", "int", default=1)


def test_a_refusal_is_printed_with_its_fix_and_exit_1(shop: Shop) -> None:
    shop.released(ID)
    shop.edit(ID, field("coupon", "string"))

    code, out, err = shop.run("check")

    assert 1 == code
    assert (
        "OrderPlaced: incompatible change\n"
        "  coupon is new and has no default, so records of version 1 cannot be read\n"
        "  Fix: give it a default\n"
    ) == "".join(f"{line.rstrip()}\n" for line in out.strip().splitlines())
    assert "demo_pipeline: 1 problem in 1 schema: the schemas may not be released\n" == err


def test_schemas_that_may_be_released_are_one_line_and_exit_0(shop: Shop) -> None:
    shop.released(ID)

    code, out, err = shop.run("check")

    assert (0, "1 schema is registered and compatible (FULL_TRANSITIVE).\n", "") == (code, out, err)


def test_json_is_all_of_the_output(shop: Shop) -> None:
    shop.released(ID)
    shop.edit(field("id", "long"))

    code, out, _ = shop.run("check", "--json", "--mode", "BACKWARD")

    assert 1 == code
    report = json.loads(out)
    assert ("BACKWARD", ["OrderPlaced"]) == (report["mode"], report["schemas"])
    assert ["id"] == [each["field"] for each in report["findings"]]


def test_a_diff_shows_what_each_version_changed(shop: Shop) -> None:
    shop.released(ID)
    shop.released(ID, N)
    shop.edit(ID, N, field("gift", ["null", "string"], default=None))

    code, out, _ = shop.run("diff")

    assert 0 == code
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "OrderPlaced, version 1 to version 2" in lines
    assert "n added - int, default 1" in lines
    assert "OrderPlaced, version 2 to the current schema" in lines
    assert "gift added - null or string, default null" in lines


def test_a_diff_compares_any_two_versions(shop: Shop) -> None:
    shop.released(ID)
    shop.released(ID, N)
    shop.released(ID, N, field("m", "int", default=2))

    code, out, _ = shop.run("diff", "--from", "1", "--to", "3", "--json")

    (comparison,) = json.loads(out)
    assert (0, "version 1", "version 3") == (code, comparison["old"], comparison["new"])
    assert ["n", "m"] == [each["field"] for each in comparison["changes"]]


def test_a_diff_without_a_name_shows_what_is_not_registered(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.released(ID)
    assert 0 == main(["schemas", "diff", "--folder", str(shop.folder)])
    assert "no changes\n" == capsys.readouterr().out
    shop.edit(ID, N)

    assert 0 == main(["schemas", "diff", "--folder", str(shop.folder)])
    assert "OrderPlaced, version 1 to the current schema" in capsys.readouterr().out


def test_registered_versions_are_listed_as_json(shop: Shop) -> None:
    shop.edit(ID)

    code, out, _ = shop.run("register", "--json")

    assert 0 == code
    assert [{"schema": "OrderPlaced", "version": 1, "id": 1}] == json.loads(out)["history"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["check", "OrderPlace"], "there is no schema OrderPlace: use the name of a message"),
        (["check", "--mode", "SIDEWAYS"], "'SIDEWAYS' is not one of"),
        (["check", "--folder", "/nowhere/at/all"], "does not exist"),
        (["check", "--registry-url", "nonsense"], "--registry-url (or SCHEMA_REGISTRY_URL) is no"),
        (
            ["register", "--registry-url", "http://me:secret@localhost:1"],
            "everyone on this machine can read a password here: set SCHEMA_REGISTRY_URL or",
        ),
        (["diff", "OrderPlaced", "--to", "1"], "--to needs --from"),
        (["diff", "--from", "1"], "need exactly one NAME"),
        (
            ["diff", "OrderPlaced", "--from", "999"],
            "OrderPlaced has no version 999, only",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    arguments: Sequence[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["schemas", *arguments])

    output = capsys.readouterr()
    assert ("", 1) == (output.out, output.err.count("\n"))
    assert reason in output.err
    assert "secret" not in output.err


@pytest.mark.parametrize("command", ["check", "diff", "register"])
def test_each_command_explains_itself_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(["schemas", command, "--help"])

    assert f"  python -m demo_pipeline schemas {command} OrderPlaced" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, b"<html>"), "answers with something other than JSON"),
        ((200, b'{"a": 1}'), "answers with other JSON than a schema registry"),
        ((200, b'["a"]'), "answers with other JSON than a schema registry"),
        ((500, b""), "answers with status 500"),
        ((401, b""), "refuses access"),
    ],
)
@pytest.mark.parametrize("command", ["check", "diff"])
def test_a_registry_that_answers_garbage_is_one_line_and_exit_1(
    shop: Shop, command: str, answer: tuple[int, bytes], reason: str
) -> None:
    shop.released(ID)
    registry = FakeRegistry()
    registry.answer_with = answer
    with registry.running():
        code, _, err = shop.run(command, "--registry-url", registry.url)

    assert (1, 1) == (code, err.count("\n"))
    assert f"the schema registry at {registry.url} {reason}" in err
