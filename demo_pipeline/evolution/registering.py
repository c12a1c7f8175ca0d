"""Adding current schemas to the history, as the next version with the next id."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from demo_pipeline.domain.schemas import NAMESPACE
from demo_pipeline.evolution.check import Verdict
from demo_pipeline.evolution.folder import Entry, shown
from demo_pipeline.runtime.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from demo_pipeline.evolution.check import Finding
    from demo_pipeline.evolution.folder import SchemaFolder


@dataclass(frozen=True, slots=True)
class Registered:
    """A version that was added to the history.

    Attributes:
        schema: The name of the message.
        version: Its version.
        id: The id that records carry.
    """

    schema: str
    version: int
    id: int


def register(folder: SchemaFolder, names: Iterable[str]) -> list[Registered]:
    """Add current schemas to the history, unless they are its newest versions.

    Check the folder first: a version in the history stays there for ever.

    Args:
        folder: The folder, which is changed on disk and in memory.
        names: The names of the messages, each of which has a current schema.

    Raises:
        DemoError: A file cannot be written.
    """
    try:
        return [_append(folder, name) for name in names if not folder.is_registered(name)]
    except OSError as error:
        raise DemoError(
            f"cannot write the history in {shown(folder.root)} ({error.strerror}): is the folder "
            "writable?"
        ) from error


def blocking(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that a registration does not resolve."""
    return [each for each in findings if each.verdict is not Verdict.UNREGISTERED]


def ids_text(ids: dict[int, Entry]) -> str:
    """Return the content of `ids.json`: a line for each id, which suits version control."""
    lines = (
        f'  "{schema_id}": {json.dumps(msgspec.to_builtins(entry))}'
        for schema_id, entry in ids.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _append(folder: SchemaFolder, name: str) -> Registered:
    document = folder.current[name]
    newest = folder.newest(name)
    version = 1 if newest is None else newest[0] + 1
    schema_id = max(folder.ids, default=0) + 1
    file = folder.file_of(name, version)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(document.text)
    folder.ids[schema_id] = Entry(f"{NAMESPACE}.{name}", version, document.fingerprint)
    # The ids last and at once: a crash before leaves a file that the check reports.
    new = folder.ids_file.with_suffix(".new")
    new.write_text(ids_text(folder.ids))
    new.replace(folder.ids_file)
    folder.history.setdefault(name, {})[version] = document
    return Registered(name, version, schema_id)
