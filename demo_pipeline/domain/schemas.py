"""The Avro schemas of all messages: every version that was ever released, as committed.

`demo_pipeline/schemas/` has the current schema of each message as `NAME.avsc`. Below it,
`history/NAME/vN.avsc` are the released versions, of which the newest equals the current one, and
`history/ids.json` gives each of them an id. Records carry these ids where no registry is used, so
they are the same in every process, for ever: entries are added, never changed or removed.

A schema's subject is the full name of its record, because a topic holds messages of several types.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final, Protocol

import fastavro

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

    from fastavro.types import Schema as ParsedSchema

NAMESPACE: Final = "demo_pipeline"
"""The namespace of all schemas."""

FOLDER: Final[Traversable] = resources.files("demo_pipeline") / "schemas"
"""The folder of the committed schemas."""


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """One version of a message's schema.

    Attributes:
        subject: What it describes: the full name of its record.
        version: Its number among the versions of its subject, from 1; `None` if it is not known.
        text: The schema as JSON.
        parsed: The schema as fastavro reads and writes with it.
    """

    subject: str
    version: int | None
    text: str
    parsed: ParsedSchema

    def __str__(self) -> str:
        version = "of an unknown version" if self.version is None else f"version {self.version}"
        return f"{self.subject} {version}"


def parse(text: str, version: int | None = None) -> Schema:
    """Parse a schema; its subject is the full name of its record.

    Raises:
        ValueError: The text is no Avro schema of a record.
    """
    try:
        parsed = fastavro.parse_schema(json.loads(text))
    except Exception as error:  # fastavro raises whatever a strange schema leads to
        raise ValueError(f"this is no Avro schema ({type(error).__name__}: {error})") from error
    if not isinstance(parsed, dict) or parsed.get("type") != "record":
        raise ValueError("the schema of a message must be a record")
    return Schema(parsed["name"], version, text, parsed)


def versions_of(schemas: Mapping[int, Schema]) -> dict[int, tuple[str, int]]:
    """Return the subjects and versions of schemas by id, where the versions are known."""
    return {
        schema_id: (schema.subject, schema.version)
        for schema_id, schema in schemas.items()
        if schema.version is not None
    }


class Schemas(Protocol):
    """Where the ids of schemas come from."""

    @property
    def versions(self) -> Mapping[int, tuple[str, int]]:
        """The subjects and versions of all schemas that are known so far, by id."""
        ...

    def id_of(self, schema: Schema) -> int:
        """Return the id that records of a released schema carry."""
        ...

    async def find(self, schema_id: int) -> Schema | None:
        """Return the schema with an id; `None` if there is none.

        Raises:
            tracing.UndecodableRecord: It is no schema that a message can have.
        """
        ...


class History:
    """All released schemas, with the committed ids: a registry that is always there.

    Args:
        folder: The folder of the schemas.

    Raises:
        OSError: A file is missing.
        ValueError: A file has no valid content.
    """

    def __init__(self, folder: Traversable) -> None:
        history = folder / "history"
        self._by_id: dict[int, Schema] = {}
        self._ids: dict[Schema, int] = {}
        self._versions: dict[str, dict[int, Schema]] = {}
        for number, entry in json.loads((history / "ids.json").read_text()).items():
            subject, version = entry["subject"], entry["version"]
            name = subject.rpartition(".")[2]
            text = (history / name / f"v{version}.avsc").read_text()
            schema = parse(text, version)
            self._by_id[int(number)] = schema
            self._ids[schema] = int(number)
            self._versions.setdefault(name, {})[version] = schema

    @property
    def versions(self) -> Mapping[int, tuple[str, int]]:
        """The subjects and versions of all released schemas, by committed id."""
        return versions_of(self._by_id)

    @property
    def schemas(self) -> tuple[Schema, ...]:
        """All released schemas, in the order of their release."""
        return tuple(self._by_id.values())

    def released(self, name: str, version: int | None = None) -> Schema:
        """Return a version of a message's schema, by default the newest one.

        Args:
            name: The name of the message's type.
            version: The version.

        Raises:
            LookupError: There is no such schema.
        """
        versions = self._versions.get(name, {})
        number = max(versions, default=0) if version is None else version
        if number not in versions:
            raise LookupError(
                f"{name} has no schema of version {number}: add it to the history of schemas"
            )
        return versions[number]

    def id_of(self, schema: Schema) -> int:
        """Return the committed id of a released schema."""
        return self._ids[schema]

    async def find(self, schema_id: int) -> Schema | None:
        """Return the schema with a committed id; `None` if there is none."""
        return self._by_id.get(schema_id)


@cache
def committed() -> History:
    """Return the history that is committed in this package."""
    return History(FOLDER)
