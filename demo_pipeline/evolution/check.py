"""The gate: whether the current schemas may be released."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from shlex import quote
from typing import TYPE_CHECKING

from demo_pipeline.evolution.folder import shown
from demo_pipeline.evolution.rules import Version, incompatibilities

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from demo_pipeline.evolution.folder import Fault, SchemaFolder
    from demo_pipeline.evolution.modes import Mode
    from demo_pipeline.evolution.rules import Incompatibility


class Verdict(StrEnum):
    """What a finding is about."""

    INCOMPATIBLE = "incompatible"
    HISTORY = "history"
    UNREGISTERED = "unregistered"
    MISSING = "missing"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Finding:
    """Why the schemas may not be released.

    Attributes:
        schema: The name of the message; empty if it is about all of them.
        verdict: What it is about.
        reason: What is wrong, in a sentence.
        fix: What to do.
        field: The field, such as `order.lines[].sku`, if a field is the problem.
        against: The earlier versions, such as `version 2`, if it is about any.
        rule: The rule that is broken, and who cannot read what, such as `type (forward)`.
    """

    schema: str
    verdict: Verdict
    reason: str
    fix: str
    field: str = ""
    against: tuple[str, ...] = ()
    rule: str = ""


def check_folder(
    folder: SchemaFolder, mode: Mode, *, messages: Collection[str], names: Collection[str]
) -> list[Finding]:
    """Return why the current schemas may not be released.

    Args:
        folder: The schemas and their history.
        mode: What has to stay readable.
        messages: The names of all message types; each of them needs a schema.
        names: The schemas to check; the files of the history are checked in any case.
    """
    findings = [fault_finding(fault) for fault in folder.faults]
    for name in sorted(names):
        findings += _check_schema(folder, name, mode, messages)
    return findings


def fault_finding(fault: Fault) -> Finding:
    """Return a finding about a file."""
    return Finding(fault.schema, Verdict.HISTORY, fault.reason, fault.fix)


def earlier_versions(folder: SchemaFolder, name: str) -> list[Version]:
    """Return the registered versions of a message, oldest first."""
    versions = folder.history.get(name, {})
    return [Version(f"version {each}", versions[each].schema) for each in sorted(versions)]


def incompatible(name: str, problem: Incompatibility) -> Finding:
    """Return a finding about an incompatible change."""
    return Finding(
        name,
        Verdict.INCOMPATIBLE,
        f"{problem.field or name} {problem.reason}",
        problem.fix,
        problem.field,
        problem.against,
        f"{problem.kind} ({problem.direction})",
    )


def _check_schema(
    folder: SchemaFolder, name: str, mode: Mode, messages: Collection[str]
) -> Iterator[Finding]:
    if name not in folder.current:
        if name in messages and not any(fault.schema == name for fault in folder.faults):
            yield Finding(
                name,
                Verdict.MISSING,
                f"the message {name} has no schema",
                f"add {shown(folder.root / name)}.avsc, and register it: "
                f"python -m demo_pipeline schemas register {quote(name)}",
            )
        return
    new = folder.current[name].schema
    problems = incompatibilities(new, earlier_versions(folder, name), mode)
    yield from (incompatible(name, problem) for problem in problems)
    damaged = any(fault.schema in {"", name} for fault in folder.faults)
    if not problems and not damaged and not folder.is_registered(name):
        newest = folder.newest(name)
        than = "is not registered" if newest is None else f"differs from version {newest[0]}"
        yield Finding(
            name,
            Verdict.UNREGISTERED,
            f"{name} {than}, so no record can be written with it",
            f"register it: python -m demo_pipeline schemas register {quote(name)}",
        )
