"""The demo with the schemas of a real registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import tracing
from demo_pipeline.app.load import Load
from demo_pipeline.app.run import RunOptions, run
from demo_pipeline.domain.codec import Codec, headers_of
from demo_pipeline.domain.events import OrderPlaced
from demo_pipeline.domain.schemas import committed
from demo_pipeline.report import check_traces
from demo_pipeline.runtime.registry import open_schemas
from tests.demo_pipeline.runtime.records import record_with

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx


pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SUBJECT = "demo_pipeline.OrderPlaced"


def ask(registry: httpx.Client, path: str, content: Any = None) -> Any:
    """Ask the registry something, or post a content."""
    response = registry.get(path) if content is None else registry.post(path, json=content)
    return response.raise_for_status().json()


@pytest.fixture(autouse=True)
def _use_the_registry(registry: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", str(registry.base_url).rstrip("/"))


async def test_values_carry_the_ids_of_the_registry(
    registry: httpx.Client, make_order: Callable[..., Any]
) -> None:
    message = OrderPlaced(make_order())
    async with open_schemas() as schemas:
        codec = Codec(schemas)
        value = codec.encode(message)
        assert message == await codec.decode(record_with(value, headers_of(message)))

    newest = ask(registry, f"subjects/{SUBJECT}/versions/latest")
    assert b"\x00" + newest["id"].to_bytes(4, "big") == value[:5]
    assert committed().released("OrderPlaced").version == newest["version"]


async def test_a_version_that_is_registered_later_is_looked_up_when_a_record_needs_it(
    registry: httpx.Client, make_order: Callable[..., Any]
) -> None:
    message = OrderPlaced(make_order())
    known = committed().released("OrderPlaced")
    newer = json.loads(known.text)
    newer["fields"].append({"name": "gift", "type": "boolean", "default": False})
    async with open_schemas() as schemas:
        codec = Codec(schemas)
        value = codec.encode(message)
        content = {"schema": json.dumps(newer)}
        new_id = ask(registry, f"subjects/{SUBJECT}/versions", content)["id"]
        # The new field is the last one.
        value = b"\x00" + new_id.to_bytes(4, "big") + value[5:] + b"\x01"

        assert message == await codec.decode(record_with(value, headers_of(message)))
        found = await schemas.find(new_id)
    assert found is not None
    assert known.version is not None
    assert known.version + 1 == found.version


async def test_an_id_that_the_registry_does_not_have_is_undecodable(
    make_order: Callable[..., Any],
) -> None:
    message = OrderPlaced(make_order())
    async with open_schemas() as schemas:
        codec = Codec(schemas)
        value = codec.encode(message)
        value = b"\x00" + (999_999).to_bytes(4, "big") + value[5:]

        with pytest.raises(tracing.UnknownSchema, match="the schema with id 999999, which"):
            await codec.decode(record_with(value, headers_of(message)))


async def test_a_run_of_the_shop_works_with_the_registry(registry: httpx.Client) -> None:
    options = RunOptions(
        load=Load(orders=5, rate=10, seed=1),
        scenario="steady",
        bootstrap_servers=None,
        kafka=False,
        http_port=0,
        timeout_s=60,
    )

    outcome = await run(options, Quiet())

    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    subjects = set(ask(registry, "subjects"))
    assert {schema.subject for schema in committed().schemas} == subjects


class Quiet:
    """Shows no progress."""

    def step(self, what: str) -> None:
        """Show nothing."""

    def placed(self) -> None:
        """Show nothing."""

    def ended(self, orders: int) -> None:
        """Show nothing."""
