"""How a Confluent-compatible registry is asked for the subject and version of a schema.

Clients of `confluent_kafka.schema_registry` come in a sync and an async form. The steps are written
once, as a generator of what their methods return, and driven in both ways.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable
from uuid import UUID

from tracing.schemas.wire import topic_subject

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from tracing.schemas.wire import SchemaUse, SubjectVersion

_NOT_FOUND: Final = 404


@runtime_checkable
class RegistryClient(Protocol):
    """A client of a schema registry; confluent-kafka's sync and async ones are."""

    def get_schema_versions(self, schema_id: int, /) -> Any:
        """Return the subjects and versions under which a schema is registered, or an awaitable."""


def ask(client: Any, use: SchemaUse) -> SubjectVersion | None:
    """Ask a sync client; `None` if the registry does not know the schema.

    Raises:
        Exception: What the client raised.
    """
    steps = _steps(client, use)
    answer: object = None
    while True:
        try:
            answer = steps.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # the generator's own type


async def ask_async(client: Any, use: SchemaUse) -> SubjectVersion | None:
    """Ask an async client, as `ask`."""
    steps = _steps(client, use)
    answer: object = None
    failure: Exception | None = None
    while True:
        try:
            step = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # as above
        try:
            answer, failure = await step, None
        except Exception as error:
            failure = error


def _steps(client: Any, use: SchemaUse) -> Generator[Any, Any, SubjectVersion | None]:
    try:
        if _is_mock(client):
            return _chosen((yield from _registered(client, use)), use)
        identity = use[0]
        if isinstance(identity, UUID):
            schema = yield client.get_schema_by_guid(str(identity))
            found = yield client.lookup_schema(topic_subject(use), schema)
            return found.subject, found.version
        versions = yield client.get_schema_versions(identity)
        return _chosen([(each.subject, each.version) for each in versions], use)
    except Exception as error:
        if getattr(error, "http_status_code", None) == _NOT_FOUND:
            return None
        raise


def _is_mock(client: Any) -> bool:
    # It stands in for a registry in tests, under `mock://`, and has only a part of the methods.
    with suppress(Exception):
        return str(client.config()["url"]).startswith("mock://")
    return False


def _registered(client: Any, use: SchemaUse) -> Generator[Any, Any, list[tuple[str, int]]]:
    identity = use[0]
    versions = []
    for subject in (yield client.get_subjects()):
        for version in (yield client.get_versions(subject)):
            found = yield client.get_version(subject, version)
            if identity == found.schema_id or str(identity) == found.guid:
                versions.append((subject, version))
    return versions


def _chosen(versions: Iterable[tuple[str, int]], use: SchemaUse) -> tuple[str, int] | None:
    """Choose among the subjects that share a schema: the topic's own, if it has one."""
    topic, preferred = use[1], topic_subject(use)

    def rank(version: tuple[str, int]) -> tuple[bool, bool, str, int]:
        subject, number = version
        return subject != preferred, not subject.startswith(f"{topic}-"), subject, -number

    return min(versions, key=rank, default=None)
