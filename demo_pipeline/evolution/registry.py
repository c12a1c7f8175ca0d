"""The gate and the history at a schema registry, beside the committed ones."""

from __future__ import annotations

from contextlib import asynccontextmanager
from shlex import quote
from typing import TYPE_CHECKING

from demo_pipeline.domain.schemas import NAMESPACE
from demo_pipeline.evolution.avro import short
from demo_pipeline.evolution.canonical import fingerprint
from demo_pipeline.evolution.check import Finding, Verdict, incompatible
from demo_pipeline.evolution.comparison import CURRENT, compare
from demo_pipeline.evolution.parsing import SchemaError, parse
from demo_pipeline.evolution.registering import Registered
from demo_pipeline.evolution.rules import Version, incompatibilities
from demo_pipeline.runtime.errors import DemoError
from demo_pipeline.runtime.registry_client import (
    URL_VARIABLE,
    NotRegisteredError,
    RegistryAwayError,
    RegistryClient,
    parse_address,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from demo_pipeline.evolution.comparison import Comparison
    from demo_pipeline.evolution.folder import Document, SchemaFolder
    from demo_pipeline.evolution.modes import Mode


@asynccontextmanager
async def open_registry(url: str) -> AsyncIterator[Registry]:
    """Provide a registry for the length of the block.

    Raises:
        UsageError: The URL is no HTTP address.
        DemoError: The registry gives no usable answer, or refuses a schema.
    """
    client = RegistryClient(parse_address(url, f"--registry-url (or {URL_VARIABLE})"))
    try:
        yield Registry(client)
    except RegistryAwayError as error:
        raise DemoError(str(error)) from error
    except NotRegisteredError as error:
        raise DemoError(
            f"the schema registry at {client.url} no longer has what it just listed: try again"
        ) from error
    finally:
        await client.aclose()


class Registry:
    """What a registry has of the messages' schemas.

    All methods raise `RegistryAwayError` if it gives no usable answer.

    Args:
        client: Asks the registry.
    """

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    async def check(self, folder: SchemaFolder, names: Iterable[str], mode: Mode) -> list[Finding]:
        """Return why the current schemas may not be registered there.

        Its versions are compared by our rules, unless they are in the committed history, which is
        checked anyway. Then the registry's own rules and level decide. A subject that it does not
        have is no problem.
        """
        findings: list[Finding] = []
        for name in names:
            document = folder.current.get(name)
            if document is not None:
                findings += await self._check(folder, name, document, mode)
        return findings

    async def changes(self, folder: SchemaFolder, names: Iterable[str]) -> list[Comparison]:
        """Return what the current schemas change of the newest ones there, where they do."""
        comparisons: list[Comparison] = []
        for name in names:
            document = folder.current.get(name)
            versions = await self._versions(name)
            if document is not None and versions:
                comparisons += compare(name, [versions[-1], Version(CURRENT, document.schema)])
        return [each for each in comparisons if each.changes]

    async def register(
        self, folder: SchemaFolder, names: Iterable[str], mode: Mode
    ) -> list[Registered]:
        """Register the committed history in the order of its ids; return what was new there.

        The level of each subject is set first, so that the registry refuses what the gate refuses.

        Raises:
            SchemaRefusedError: The registry refuses a schema.
        """
        chosen, leveled = set(names), set()
        added: list[Registered] = []
        for entry in folder.ids.values():
            name = short(entry.subject)
            if name not in chosen:
                continue
            if name not in leveled:
                leveled.add(name)
                await self._set_level(entry.subject, mode)
            text = folder.history[name][entry.version].text
            try:
                await self._client.id_of(entry.subject, text)
            except NotRegisteredError:
                there = await self._client.register(entry.subject, text)
                added.append(Registered(name, entry.version, there))
        return added

    async def _check(
        self, folder: SchemaFolder, name: str, document: Document, mode: Mode
    ) -> list[Finding]:
        committed = {each.fingerprint for each in folder.history.get(name, {}).values()}
        try:
            versions = await self._versions(name)
        except SchemaError as error:
            fix = "delete it there, or use another registry"
            return [Finding(name, Verdict.REFUSED, f"{name} in the registry: {error}", fix)]
        others = [
            each for each in versions
            if not mode.transitive or fingerprint(each.schema) not in committed
        ]  # fmt: skip
        problems = incompatibilities(document.schema, others, mode)
        if problems or not versions or await self._accepts(name, document.text):
            return [incompatible(name, problem) for problem in problems]
        return [
            Finding(
                name,
                Verdict.REFUSED,
                f"{name} is refused by the registry's own rules, whose level for it is "
                f"{await self._level(name)}",
                f"see what changed: python -m demo_pipeline schemas diff {quote(name)} "
                "--registry-url ...",
                against=(versions[-1].label,),
            )
        ]

    async def _versions(self, name: str) -> list[Version]:
        client, subject = self._client.client, _subject(name)
        try:
            numbers: object = await self._client.ask(client.get_versions(subject))
        except NotRegisteredError:
            return []
        if not isinstance(numbers, list) or not all(type(each) is int for each in numbers):
            raise RegistryAwayError(
                f"the schema registry at {self._client.url} answers with other JSON than a schema "
                f"registry: is {URL_VARIABLE} right?"
            )
        found = [
            (number, await self._client.ask(client.get_version(subject, number)))
            for number in sorted(numbers)
        ]
        return [
            Version(f"version {number} in the registry", parse(each.schema.schema_str or ""))
            for number, each in found
        ]

    async def _accepts(self, name: str, text: str) -> bool:
        from confluent_kafka.schema_registry import Schema  # noqa: PLC0415 - as the client's

        client, schema = self._client.client, Schema(text, "AVRO")
        return bool(
            await self._client.ask(client.test_compatibility_all_versions(_subject(name), schema))
        )

    async def _level(self, name: str) -> str:
        client, subject = self._client.client, _subject(name)
        try:
            return str(await self._client.ask(client.get_compatibility(subject)))
        except NotRegisteredError:
            return str(await self._client.ask(client.get_compatibility()))

    async def _set_level(self, subject: str, mode: Mode) -> None:
        await self._client.ask(self._client.client.set_compatibility(subject, mode.value))


def _subject(name: str) -> str:
    return f"{NAMESPACE}.{name}"
