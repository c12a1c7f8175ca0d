"""The commands of the gate against a real registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from demo_pipeline.__main__ import main
from demo_pipeline.domain.schemas import committed
from tests.demo_pipeline.evolution.change_table import field
from tests.demo_pipeline.evolution.shop import NAME

if TYPE_CHECKING:
    import httpx

    from tests.demo_pipeline.evolution.shop import Shop

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SUBJECT = f"demo_pipeline.{NAME}"
ID = field("id", "string")
NEW = field("n", "int", default=1)


@pytest.fixture
def at(registry: httpx.Client) -> tuple[str, str]:
    return "--registry-url", str(registry.base_url).rstrip("/")


def versions(registry: httpx.Client) -> list[int]:
    numbers: list[int] = registry.get(f"subjects/{SUBJECT}/versions").raise_for_status().json()
    return numbers


def release_there(registry: httpx.Client, *fields: Any) -> None:
    """Register a version only in the registry, as another team would."""
    schema = {
        "type": "record", "name": NAME, "namespace": "demo_pipeline", "fields": fields,
    }  # fmt: skip
    content = {"schema": json.dumps(schema)}
    registry.post(f"subjects/{SUBJECT}/versions", json=content).raise_for_status()


def test_the_whole_history_is_registered_in_its_order_with_the_level(
    registry: httpx.Client, at: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(["schemas", "register", "--json", *at])

    added = json.loads(capsys.readouterr().out)
    assert [] == added["history"]
    released = [(f"demo_pipeline.{each['schema']}", each["version"]) for each in added["registry"]]
    assert [(each.subject, each.version) for each in committed().schemas] == released
    for each, schema in zip(added["registry"], committed().schemas, strict=True):
        text = registry.get(f"schemas/ids/{each['id']}").raise_for_status().json()["schema"]
        assert json.loads(schema.text) == json.loads(text)
        level = registry.get(f"config/{schema.subject}").raise_for_status().json()
        assert "FULL_TRANSITIVE" == level["compatibilityLevel"]

    assert 0 == main(["schemas", "check", *at])
    assert 0 == main(["schemas", "register", *at])
    assert "nothing is new in the registry" in capsys.readouterr().out


def test_only_named_schemas_are_registered(registry: httpx.Client, at: tuple[str, str]) -> None:
    assert 0 == main(["schemas", "register", NAME, *at])

    assert [SUBJECT] == registry.get("subjects").raise_for_status().json()


def test_a_new_version_is_registered_in_both(
    shop: Shop, registry: httpx.Client, at: tuple[str, str]
) -> None:
    shop.released(ID)
    shop.run("register", *at)
    shop.edit(ID, NEW)
    assert ["unregistered"] == [each["verdict"] for each in shop.findings(*at)]

    code, out, _ = shop.run("register", *at)

    assert 0 == code
    assert "OrderPlaced version 2 has the id 2 in the history" in out
    assert "OrderPlaced version 2 has the id " in out.splitlines()[1]
    assert [1, 2] == versions(registry)
    assert [] == shop.findings(*at)


def test_a_version_that_only_the_registry_has_must_stay_compatible(
    shop: Shop, registry: httpx.Client, at: tuple[str, str]
) -> None:
    shop.released(ID)
    shop.run("register", *at)
    release_there(registry, ID, field("m", "string", default=""))
    shop.edit(ID, field("m", "int", default=1))

    (finding,) = (each for each in shop.findings(*at) if "backward" in each["rule"])

    assert ["version 2 in the registry"] == finding["against"]
    assert (
        "m changed from string to int, but records of version 2 in the registry hold string"
        == finding["reason"]
    )


def test_the_registrys_own_level_decides_too(
    shop: Shop, registry: httpx.Client, at: tuple[str, str]
) -> None:
    shop.released(ID)
    shop.run("register", *at)
    shop.edit(ID, field("n", "int"))

    findings = shop.findings("--mode", "FORWARD", *at)

    (refused,) = (each for each in findings if each["verdict"] == "refused")
    assert (
        "OrderPlaced is refused by the registry's own rules, whose level for it is FULL_TRANSITIVE"
        == refused["reason"]
    )


def test_what_the_registry_refuses_is_one_line(
    shop: Shop, registry: httpx.Client, at: tuple[str, str]
) -> None:
    release_there(registry, ID, field("m", "int"))
    shop.released(ID)

    code, _, err = shop.run("register", *at)

    assert 1 == code
    assert 1 == err.count("\n")
    assert "the schema registry refuses a schema: " in err
    assert [1] == versions(registry)


def test_differences_to_the_registry_are_shown(
    shop: Shop, registry: httpx.Client, at: tuple[str, str]
) -> None:
    release_there(registry, ID)
    shop.released(ID, NEW)

    code, out, _ = shop.run("diff", "--json", *at)

    assert 0 == code
    (comparison,) = json.loads(out)
    assert "version 1 in the registry" == comparison["old"]
    assert ["n"] == [each["field"] for each in comparison["changes"]]


def test_a_registry_that_is_not_there_is_one_line(shop: Shop) -> None:
    shop.released(ID)

    for command in ("check", "diff", "register"):
        code, _, err = shop.run(command, "--registry-url", "http://127.0.0.1:1")

        assert (1, 1) == (code, err.count("\n"))
        assert "the schema registry at http://127.0.0.1:1 does not answer" in err
