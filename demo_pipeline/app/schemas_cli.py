"""The commands `schemas check`, `schemas diff` and `schemas register`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from demo_pipeline.app.options import json_option, print_json
from demo_pipeline.domain.topics import TOPIC_OF
from demo_pipeline.evolution.modes import Mode
from demo_pipeline.runtime.errors import DemoError, UsageError
from demo_pipeline.runtime.registry_client import URL_VARIABLE, USER_VARIABLE
from tracing.cli.groups import LazyGroup

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from demo_pipeline.evolution.check import Finding
    from demo_pipeline.evolution.folder import SchemaFolder
    from demo_pipeline.evolution.registry import Registry

Result = TypeVar("Result")

_MESSAGES: Final = frozenset(message.__name__ for message in TOPIC_OF)


def _own_folder() -> Path:
    from demo_pipeline.domain.schemas import FOLDER

    return Path(str(FOLDER))


_NAMES = click.argument("names", metavar="[NAME]...", nargs=-1)
_FOLDER = click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=_own_folder,
    metavar="DIR",
    help="The folder with the schemas and their history.  [default: the demo's]",
)
_MODE = click.option(
    "--mode",
    type=click.Choice(Mode),
    default=Mode.FULL_TRANSITIVE,
    show_default=True,
    help="What has to stay readable. BACKWARD: new readers read old records; FORWARD: old readers "
    "read new records; FULL: both; each with the newest version, or with all (_TRANSITIVE).",
)


def _without_password(
    context: click.Context, option: click.Parameter, url: str | None
) -> str | None:
    source = context.get_parameter_source(option.name or "")
    if url and "@" in url and source is click.core.ParameterSource.COMMANDLINE:
        raise click.BadParameter(
            f"everyone on this machine can read a password here: set {URL_VARIABLE} or "
            f"{USER_VARIABLE}"
        )
    return url


_REGISTRY = click.option(
    "--registry-url",
    envvar=URL_VARIABLE,
    callback=_without_password,
    metavar="URL",
    help="Also use a Confluent-compatible schema registry (or set SCHEMA_REGISTRY_URL; "
    "user and password come from SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO).",
)


@click.group("schemas", cls=LazyGroup)
def schemas_group() -> None:
    """Check, compare and register the Avro schemas of the messages.

    A schema changes in three steps: edit demo_pipeline/schemas/NAME.avsc, run `schemas check`, and
    run `schemas register`. Commit all changed files.
    """


@schemas_group.command(
    "check", short_help="Refuse changes of the current schemas that break readers or writers."
)
@_NAMES
@_MODE
@_REGISTRY
@_FOLDER
@json_option
def check_command(
    *, names: tuple[str, ...], mode: Mode, registry_url: str | None, folder: Path, as_json: bool
) -> None:
    """Refuse changes of the current schemas that break readers or writers.

    Compares each current schema with its registered versions. The check also fails if the history
    was altered, if a schema is not registered, or if a message has no schema.

    \b
    Examples:
      python -m demo_pipeline schemas check
      python -m demo_pipeline schemas check OrderPlaced --mode BACKWARD
      python -m demo_pipeline schemas check --registry-url http://localhost:8081 --json

    Exit codes: 0 if the schemas may be released, 1 if not, 2 for wrong usage.
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    from rich.console import Console

    from demo_pipeline.app.schemas_output import print_findings
    from demo_pipeline.evolution.check import check_folder
    from demo_pipeline.evolution.folder import read_folder
    from demo_pipeline.report.wording import counted

    schemas = read_folder(folder)
    chosen = _chosen(schemas, names)
    findings = check_folder(schemas, mode, messages=_MESSAGES, names=chosen)
    if registry_url:
        findings += _with_registry(
            registry_url, lambda registry: registry.check(schemas, chosen, mode)
        )
    if as_json:
        print_json({"mode": mode, "schemas": chosen, "findings": findings})
    else:
        console = Console()
        print_findings(findings, console)
        if not findings:
            verb = "is" if len(chosen) == 1 else "are"
            console.print(
                f"{counted(len(chosen), 'schema')} {verb} registered and compatible ({mode}).",
                highlight=False,
            )
    _fail_for(findings)


@schemas_group.command("diff")
@_NAMES
@click.option(
    "--from", "old", type=click.IntRange(min=1), metavar="VERSION", help="The earlier version."
)
@click.option(
    "--to",
    "new",
    type=click.IntRange(min=1),
    metavar="VERSION",
    help="The later version.  [default: the current schema]",
)
@_REGISTRY
@_FOLDER
@json_option
def diff_command(
    *,
    names: tuple[str, ...],
    old: int | None,
    new: int | None,
    registry_url: str | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Show what changed between versions of schemas, field by field.

    Without a NAME, shows what is not registered yet; with one, what each of its versions changed.
    With a registry, shows what the current schemas change of the newest ones there.

    \b
    Examples:
      python -m demo_pipeline schemas diff
      python -m demo_pipeline schemas diff OrderPlaced
      python -m demo_pipeline schemas diff OrderPlaced --from 1 --to 3
      python -m demo_pipeline schemas diff --registry-url http://localhost:8081
    """  # noqa: D301 - as above
    from rich.console import Console

    from demo_pipeline.app.schemas_output import print_changes
    from demo_pipeline.evolution.comparison import between, steps, unregistered_changes
    from demo_pipeline.evolution.folder import read_folder

    schemas = read_folder(folder)
    chosen = _chosen(schemas, names)
    if new is not None and old is None:
        raise UsageError("--to needs --from: name both versions")
    if old is not None and len(names) != 1:
        raise UsageError("--from and --to need exactly one NAME")
    if old is not None:
        comparisons = between(schemas, chosen[0], old, new)
    elif registry_url:
        comparisons = _with_registry(
            registry_url, lambda registry: registry.changes(schemas, chosen)
        )
    elif names:
        comparisons = [each for name in chosen for each in steps(schemas, name)]
    else:
        comparisons = unregistered_changes(schemas, chosen)
    if as_json:
        print_json(comparisons)
    else:
        print_changes(comparisons, Console())


@schemas_group.command(
    "register",
    short_help="Add the current schemas to the history as their next versions, each with a new id.",
)
@_NAMES
@_MODE
@_REGISTRY
@_FOLDER
@json_option
def register_command(
    *, names: tuple[str, ...], mode: Mode, registry_url: str | None, folder: Path, as_json: bool
) -> None:
    """Add the current schemas to the history as their next versions, each with a new id.

    Refuses what `schemas check` refuses. Versions in the history never change, so records of any
    age can be read. With a registry, registers the whole history there in its order, and sets the
    compatibility level of each subject.

    \b
    Examples:
      python -m demo_pipeline schemas register
      python -m demo_pipeline schemas register OrderPlaced
      python -m demo_pipeline schemas register --registry-url http://localhost:8081
    """  # noqa: D301 - as above
    from rich.console import Console

    from demo_pipeline.app.schemas_output import print_findings, print_registered
    from demo_pipeline.evolution.check import check_folder
    from demo_pipeline.evolution.folder import read_folder
    from demo_pipeline.evolution.registering import blocking, register

    schemas = read_folder(folder)
    chosen = _chosen(schemas, names)
    findings = blocking(check_folder(schemas, mode, messages=_MESSAGES, names=chosen))
    if findings:
        if as_json:
            print_json({"findings": findings})
        else:
            print_findings(findings, Console())
        _fail_for(findings)
    added = register(schemas, [name for name in chosen if name in schemas.current])
    there = (
        _with_registry(registry_url, lambda registry: registry.register(schemas, chosen, mode))
        if registry_url
        else None
    )
    if as_json:
        print_json({"history": added, "registry": there})
        return
    console = Console()
    print_registered(added, "in the history", console)
    if there is not None:
        print_registered(there, "in the registry", console)


def _chosen(schemas: SchemaFolder, names: Sequence[str]) -> list[str]:
    """Return the schemas to work on: the named ones, or all.

    Raises:
        UsageError: There is no such schema.
    """
    known = {*schemas.current, *schemas.history, *_MESSAGES, *(f.schema for f in schemas.faults)}
    for name in names:
        if name not in known:
            raise UsageError(
                f"there is no schema {name}: use the name of a message, such as OrderPlaced"
            )
    return sorted(set(names or known - {""}))


def _with_registry(url: str, work: Callable[[Registry], Awaitable[Result]]) -> Result:
    from demo_pipeline.evolution.registry import open_registry

    async def working() -> Result:
        async with open_registry(url) as registry:
            return await work(registry)

    return asyncio.run(working())


def _fail_for(findings: Sequence[Finding]) -> None:
    from demo_pipeline.app.schemas_output import summary

    if findings:
        raise DemoError(f"{summary(findings)}: the schemas may not be released")
