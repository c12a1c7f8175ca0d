"""The schemas of a registry: registered and looked up at start-up, and found by their ids later.

A registry that is down, slow or answers garbage is waited for, as a database is: its records are
neither skipped nor dead-lettered. Schemas that are known need no registry.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

import tracing
from demo_pipeline.domain.schemas import committed, parse, versions_of
from demo_pipeline.runtime.errors import DemoError
from demo_pipeline.runtime.outage import DELAYS, Outage
from demo_pipeline.runtime.registry_client import (
    NotRegisteredError,
    RegistryAwayError,
    RegistryClient,
    SchemaRefusedError,
    registry_address,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from demo_pipeline.domain.schemas import Schema, Schemas

_DELAYS: Final = DELAYS
# Many more than a shop has in use at a time.
_MAX_KNOWN: Final = 1000
# A damaged writer must not flood the registry, and a schema may be registered a little late.
_MISSING_FOR_S: Final = 5.0
# Records have room for more, but registries do not, and answer in any way.
_HIGHEST_ID: Final = 2**31 - 1

_logger = logging.getLogger("demo_pipeline.registry")


@asynccontextmanager
async def open_schemas(*, timeout_s: float = 10.0) -> AsyncIterator[Schemas]:
    """Provide the schemas of the registry that the environment names, or the committed ones.

    Args:
        timeout_s: How long to wait for a registry that does not answer, in seconds.

    Raises:
        UsageError: The environment names no usable address.
        DemoError: The registry does not answer in time, or refuses a schema.
    """
    address = registry_address()
    if address is None:
        yield committed()
        return
    client = RegistryClient(address)
    schemas = None
    try:
        schemas = RegisteredSchemas(client, await _registered(client, timeout_s))
        yield schemas
    finally:
        if schemas is not None:
            await schemas.aclose()
        await client.aclose()


async def _registered(client: RegistryClient, timeout_s: float) -> dict[Schema, int]:
    """Return the ids of all released schemas, after registering those that are missing.

    Versions are registered in their order, so that the registry checks each against its
    predecessors. Where all are registered, the right to read is enough.
    """
    deadline = monotonic() + timeout_s
    return {schema: await _id_of(client, schema, deadline) for schema in committed().schemas}


async def _id_of(client: RegistryClient, schema: Schema, deadline: float) -> int:
    failures = 0
    while True:
        try:
            try:
                return await client.id_of(schema.subject, schema.text)
            except NotRegisteredError:
                return await client.register(schema.subject, schema.text)
        except SchemaRefusedError as error:
            raise DemoError(f"{error} ({schema})") from error
        except RegistryAwayError as error:
            failures += 1
            delay_s = _DELAYS.delay_after(failures)
            if monotonic() + delay_s > deadline:
                raise DemoError(str(error)) from error
        await asyncio.sleep(delay_s)


class RegisteredSchemas:
    """The schemas of a registry. Use it from one event loop, and close it.

    Args:
        client: Asks the registry.
        ids: The ids of the released schemas.
        missing_for_s: How long an id without a schema is remembered, in seconds.
    """

    def __init__(
        self,
        client: RegistryClient,
        ids: Mapping[Schema, int],
        *,
        missing_for_s: float = _MISSING_FOR_S,
    ) -> None:
        self._client = client
        self._ids = ids
        self._own = {schema_id: schema for schema, schema_id in ids.items()}
        self._known = dict(self._own)
        self._versions = versions_of(self._own)
        self._missing: dict[int, float] = {}
        self._missing_for_s = missing_for_s
        self._asking: dict[int, asyncio.Task[Schema | None]] = {}

    @property
    def versions(self) -> Mapping[int, tuple[str, int]]:
        """The subjects and versions of all schemas that are known so far, by id."""
        return self._versions

    def id_of(self, schema: Schema) -> int:
        """Return the id of a released schema."""
        return self._ids[schema]

    async def find(self, schema_id: int) -> Schema | None:
        """Return the schema with an id; `None` if the registry has none.

        It waits only for an unknown one, and then as long as the registry gives no usable answer.

        Raises:
            tracing.UndecodableRecord: It is no Avro schema of a record.
        """
        schema = self._known.get(schema_id)
        if schema is not None:
            return schema
        if schema_id > _HIGHEST_ID or self._missing.get(schema_id, 0.0) > monotonic():
            return None
        asking = self._asking.get(schema_id)
        if asking is None:
            # A task of its own: who asked first may be cancelled while others wait.
            asking = asyncio.create_task(self._ask(schema_id), name=f"schema {schema_id}")
            self._asking[schema_id] = asking
            asking.add_done_callback(partial(self._asked, schema_id))
        return await asyncio.shield(asking)

    def _asked(self, schema_id: int, asking: asyncio.Task[Schema | None]) -> None:
        del self._asking[schema_id]
        if not asking.cancelled():
            # If all who waited are cancelled, nothing else looks at its error.
            asking.exception()

    async def aclose(self) -> None:
        """Stop asking the registry."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, schema_id: int) -> Schema | None:
        outage = Outage(_logger, f"schema {schema_id}", delays=_DELAYS)
        while True:
            try:
                return await self._answer(schema_id)
            except (RegistryAwayError, SchemaRefusedError) as error:
                await outage.outlast(str(error))

    async def _answer(self, schema_id: int) -> Schema | None:
        try:
            text = await self._client.text_of(schema_id)
        except NotRegisteredError:
            await self._make_room()
            self._missing[schema_id] = monotonic() + self._missing_for_s
            return None
        try:
            schema = parse(text)
        except ValueError as error:
            raise tracing.UndecodableRecord(
                f"the schema with id {schema_id} is no Avro schema of a record, as all of our "
                "messages have"
            ) from error
        version = await self._client.version_of(schema_id, schema.subject)
        schema = replace(schema, version=version)
        await self._make_room()
        self._known[schema_id] = schema
        self._versions.update(versions_of({schema_id: schema}))
        return schema

    async def _make_room(self) -> None:
        if len(self._known) + len(self._missing) - len(self._own) >= _MAX_KNOWN:
            self._known = dict(self._own)
            self._missing.clear()
            # The same object, which others read from.
            self._versions.clear()
            self._versions.update(versions_of(self._own))
            await self._client.forget()
