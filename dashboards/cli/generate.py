"""The command `generate`."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click
from click.core import ParameterSource

from dashboards.cli.config_option import CONFIG_FILE, config_option
from dashboards.config import Config
from dashboards.formats import FORMATS

if TYPE_CHECKING:
    from dashboards.formats import Format

_PACKAGE: Final = Path(__file__).parents[1]
_GENERATED: Final = _PACKAGE / "generated"
# An installed package is not written to: it is shared, replaced by updates, and often read-only.
_CHECKOUT: Final = _PACKAGE.parent / "pyproject.toml"
_MAX_NAMES: Final = 5
_PARAMETER_OF: Final = {"--out": "out", "--format": "form"}
_LOADED_SUFFIXES: Final = frozenset({".json", ".yaml", ".yml"})


@click.command("generate")
@config_option
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path),
    show_default="dashboards/generated in a checkout of the repository; else none",
    help="Folder to write to.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="grafana", show_default=True,
    help="JSON and rule files, Kubernetes resources, or folders for Grafana's provisioning.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing; fail if a file is out of date.")
@click.pass_context
def generate_command(
    context: click.Context, *, config: Config, out: Path | None, form: str, check: bool
) -> None:
    """Generate dashboards and rules."""
    from dashboards.files import generated

    files = generated(config, cast("Format", form))
    if out is None:
        if not _CHECKOUT.is_file():
            raise click.UsageError("use --out to choose a folder")
        if config != Config() or form != FORMATS[0]:
            raise click.UsageError(
                "use --out to choose a folder: the default one is for the built-in configuration"
            )
        out = _GENERATED
    try:
        if check:
            _check(context, out, files)
            click.echo(f"all {len(files)} files are up to date")
            return
        for name, text in files.items():
            file = out / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        for name in _unexpected(out, files):
            click.echo(f"{out / name} was not generated; remove it if it is left over", err=True)
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or out} cannot be read or written: {error.strerror}"
        ) from error
    click.echo(f"{len(files)} files in {out}")


def _check(context: click.Context, out: Path, files: dict[str, str]) -> None:
    """Compare the files on disk with the generated ones.

    Raises:
        ClickException: They differ; the message names the files and the command that fixes it.
    """
    stale, unexpected = _stale(out, files), _unexpected(out, files)
    problems = []
    if unexpected:
        problems.append(f"not generated, and to be removed from {out}: {_joined(unexpected)}")
    if stale:
        problems.append(
            f"out of date in {out}, {len(stale)} of {len(files)} files: {_joined(stale)}; "
            f"to fix it, run: python -m dashboards generate{_same_options(context)}"
        )
    if problems:
        raise click.ClickException("\n".join(problems))


def _same_options(context: click.Context) -> str:
    """Return the options of this call, for the command that fixes a failed check."""
    options = [
        (option, str(value))
        for option, value in (
            ("--config", context.meta.get(CONFIG_FILE)),
            ("--out", context.params["out"]),
            ("--format", context.params["form"]),
        )
        if value is not None
        and context.get_parameter_source(_PARAMETER_OF.get(option, ""))
        is not ParameterSource.DEFAULT
    ]
    return "".join(f" {option} {shlex.quote(value)}" for option, value in options)


def _joined(names: list[str]) -> str:
    return ", ".join(names[:_MAX_NAMES]) + ", …" * (len(names) > _MAX_NAMES)


def _unexpected(out: Path, files: dict[str, str]) -> list[str]:
    """Return files that were not generated, but that Grafana or Prometheus would load as well.

    Folders with a single generated file are not checked: others may use them too, as they use
    Grafana's own.
    """
    folders = Counter((out / name).parent for name in files)
    return sorted(
        name
        for folder, count in folders.items()
        if count > 1
        for file in folder.glob("*")
        if file.suffix in _LOADED_SUFFIXES and (name := str(file.relative_to(out))) not in files
    )


def _stale(out: Path, files: dict[str, str]) -> list[str]:
    stale = []
    for name, text in files.items():
        try:
            current = (out / name).read_bytes()
        except FileNotFoundError:
            current = b""
        if current != text.encode():
            stale.append(name)
    return stale
