"""The folder of schemas: the current ones, and every version that was ever registered.

    NAME.avsc               the current schema of a message
    history/NAME/vN.avsc    its registered versions, which never change
    history/ids.json        by id: subject, version and fingerprint; entries are only added

The fingerprints show an edit of the history, which would make old records unreadable.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from demo_pipeline.domain.schemas import NAMESPACE
from demo_pipeline.evolution.avro import Record, short
from demo_pipeline.evolution.canonical import fingerprint
from demo_pipeline.evolution.parsing import SchemaError, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX: Final = ".avsc"


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """An entry of `ids.json`."""

    subject: str
    version: int
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A file with a schema.

    Attributes:
        file: The file.
        text: Its content.
        schema: The record in it.
    """

    file: Path
    text: str
    schema: Record

    @property
    def fingerprint(self) -> str:
        """Changes with everything that matters to a reader."""
        return fingerprint(self.schema)


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that is missing, altered or wrong.

    Attributes:
        schema: The name of the message; empty if it is about all of them.
        reason: What is wrong, in a sentence.
        fix: What to do.
    """

    schema: str
    reason: str
    fix: str


@dataclass(slots=True)
class SchemaFolder:
    """What is in a folder of schemas.

    Attributes:
        root: The folder.
        current: The current schemas by name.
        history: The registered versions by name, in ascending order.
        ids: The entries of `ids.json`.
        faults: What is wrong with the files.
    """

    root: Path
    current: dict[str, Document] = field(default_factory=dict)
    history: dict[str, dict[int, Document]] = field(default_factory=dict)
    ids: dict[int, Entry] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @property
    def ids_file(self) -> Path:
        """The file with the ids."""
        return self.root / "history" / "ids.json"

    def file_of(self, name: str, version: int) -> Path:
        """Return the file of a registered version."""
        return self.root / "history" / name / f"v{version}{SUFFIX}"

    def newest(self, name: str) -> tuple[int, Document] | None:
        """Return the newest registered version of a message, if there is one."""
        versions = self.history.get(name)
        return max(versions.items()) if versions else None

    def is_registered(self, name: str) -> bool:
        """Return whether the current schema is the newest registered version."""
        newest = self.newest(name)
        return newest is not None and newest[1].fingerprint == self.current[name].fingerprint


def read_folder(root: Path) -> SchemaFolder:
    """Read a folder of schemas; what is wrong with its files is in `faults`."""
    folder = SchemaFolder(root)
    for file in sorted(root.glob(f"*{SUFFIX}")):
        document = _document(folder, file, file.stem)
        if document is not None:
            folder.current[file.stem] = document
    folder.faults += _read_ids(folder)
    folder.faults += _read_history(folder)
    return folder


def _read_ids(folder: SchemaFolder) -> Iterator[Fault]:
    file = folder.ids_file
    restore = f"restore {shown(file)} from version control: records carry its ids"
    try:
        entries = json.loads(file.read_text(), object_pairs_hook=_pairs)
        folder.ids = {int(key): msgspec.convert(entry, Entry) for key, entry in entries.items()}
    except FileNotFoundError:
        if any(file.parent.glob(f"*/*{SUFFIX}")):
            yield Fault("", f"{shown(file)} is missing", restore)
        return
    except (ValueError, AttributeError, OSError) as error:
        yield Fault("", f"{shown(file)} cannot be read: {error}", restore)
        return
    if list(folder.ids) != list(range(1, len(folder.ids) + 1)):
        yield Fault(
            "", f"the ids in {shown(file)} are not 1, 2, 3 and so on, in this order", restore
        )
    versions: dict[str, list[int]] = {}
    for entry in folder.ids.values():
        versions.setdefault(short(entry.subject), []).append(entry.version)
    for name, numbers in versions.items():
        if numbers != list(range(1, len(numbers) + 1)):
            yield Fault(
                name, f"the versions of {name} in {shown(file)} do not count up from 1", restore
            )


def _read_history(folder: SchemaFolder) -> Iterator[Fault]:
    listed = set()
    for schema_id, entry in folder.ids.items():
        name = short(entry.subject)
        file = folder.file_of(name, entry.version)
        restore = f"restore {shown(file)} from version control, and change {name}{SUFFIX} instead"
        listed.add(file)
        if not file.is_file():
            yield Fault(
                name, f"version {entry.version} was removed: {shown(file)} is missing", restore
            )
            continue
        document = _document(folder, file, name)
        if document is None:
            continue
        if document.fingerprint != entry.fingerprint:
            yield Fault(
                name,
                f"version {entry.version} was altered: {shown(file)} is not what was registered "
                f"with the id {schema_id}",
                restore,
            )
        folder.history.setdefault(name, {})[entry.version] = document
    if not folder.ids and any(not fault.schema for fault in folder.faults):
        # What the lost ids are of must not be deleted.
        return
    for file in sorted((folder.root / "history").glob(f"*/*{SUFFIX}")):
        if file not in listed:
            yield Fault(
                file.parent.name,
                f"{shown(file)} is not in {folder.ids_file.name}",
                "delete it, and use `schemas register` to add a version",
            )


def _document(folder: SchemaFolder, file: Path, name: str) -> Document | None:
    """Read a file; what is wrong with it is added to the faults."""
    try:
        text = file.read_text()
        return Document(file, text, message_schema(text, name))
    except (OSError, ValueError, SchemaError) as error:
        folder.faults.append(Fault(name, f"{shown(file)}: {error}", "correct the file"))
        return None


def message_schema(text: str, name: str) -> Record:
    """Parse the schema of a message.

    Args:
        text: The schema as JSON.
        name: The name of the message.

    Raises:
        SchemaError: It is no schema of this message.
    """
    schema = parse(text)
    if not isinstance(schema, Record):
        raise SchemaError("a message must be a record")
    if schema.name != f"{NAMESPACE}.{name}":
        raise SchemaError(
            f"the record {schema.name} must be called {NAMESPACE}.{name}, like its file"
        )
    return schema


def shown(file: Path) -> str:
    """Return a file as people name it: from the current folder, if it is there."""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands there twice")
    return result
