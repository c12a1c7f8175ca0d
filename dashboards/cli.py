"""`python -m dashboards`: generate, check, publish and list dashboards and rules."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click
from click.core import ParameterSource

from dashboards.boards.all_boards import make_boards
from dashboards.config import Config, ConfigError, load_config
from dashboards.files import FORMATS, generated
from dashboards.publish.grafana_api import TOKEN_VARIABLE, GrafanaApi, PublishError
from dashboards.publish.publish import check_version, publish_dashboards
from dashboards.render.dashboard import dashboard_json, uid_of
from dashboards.rules.alerts import make_alerts

if TYPE_CHECKING:
    from dashboards.files import Format

_GENERATED: Final = Path(__file__).parent / "generated"
_MAX_NAMES: Final = 5
_CONFIG_FILE: Final = "dashboards.config_file"
_PARAMETER_OF: Final = {"--out": "out", "--format": "form"}
_LOADED_SUFFIXES: Final = frozenset({".json", ".yaml", ".yml"})
_MESSAGE: Final = "python -m dashboards publish"


class _ConfigType(click.ParamType[Config]):
    name = "file"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Config:
        """Read the file."""
        if isinstance(value, Config):
            return value
        if ctx is not None:
            ctx.meta[_CONFIG_FILE] = value
        try:
            config = load_config(Path(str(value)))
            make_boards(config)
            make_alerts(config)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return config


_CONFIG = click.option(
    "--config", type=_ConfigType(), default=Config(), show_default="built-in", metavar="FILE",
    help="YAML file with names, selectors, data sources and objectives; an example is in docs.",
)  # fmt: skip


@click.group()
def cli() -> None:
    """Generate Grafana dashboards and alert rules from the catalogue of metrics."""


@cli.command()
@_CONFIG
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=_GENERATED,
    show_default="dashboards/generated", help="Folder to write to.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="grafana", show_default=True,
    help="JSON and rule files, Kubernetes resources, or folders for Grafana's provisioning.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing; fail if a file is out of date.")
@click.pass_context
def generate(context: click.Context, *, config: Config, out: Path, form: str, check: bool) -> None:
    """Generate dashboards and rules."""
    files = generated(config, cast("Format", form))
    default_folder = context.get_parameter_source("out") is ParameterSource.DEFAULT
    if default_folder and (config != Config() or form != FORMATS[0]):
        raise click.UsageError(
            "use --out to choose a folder: the default one is for the built-in configuration"
        )
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


@cli.command("list")
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(*, config: Config, as_json: bool) -> None:
    """List dashboards and alerts."""
    boards = [
        {"uid": uid_of(board.name, config), "title": board.title, "answers": board.description}
        for board in make_boards(config)
    ]
    alerts = make_alerts(config)
    rules = [
        {"alert": alert.name, "severity": alert.severity, "for": alert.wait, "expr": alert.expr}
        for alert in alerts
    ]
    if as_json:
        click.echo(json.dumps({"dashboards": boards, "alerts": rules}, indent=2))
        return
    width = max(len(each) for each in (*(str(b["uid"]) for b in boards), *(a.name for a in alerts)))
    click.echo("dashboards")
    for board in boards:
        click.echo(f"  {board['uid']:<{width}}  {board['answers']}")
    click.echo("alerts")
    for alert in alerts:
        wait = "at once" if alert.wait == "0m" else f"after {alert.wait}"
        click.echo(f"  {alert.name:<{width}}  {alert.severity}, {wait}")


@cli.command()
@_CONFIG
@click.option("--url", required=True, help="Grafana's address, including a sub-path.")
@click.option(
    "--folder", default=None, metavar="UID", callback=lambda _context, _option, uid: _folder(uid),
    help="Grafana folder, created if it is missing. Without it, dashboards stay where they are.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
def publish(*, config: Config, url: str, folder: str, dry_run: bool) -> None:
    """Upload the dashboards to a running Grafana and show what changes.

    Set the environment variable GRAFANA_TOKEN to the token of a service account with the role
    Editor. Dashboards that are up to date are not touched. Alerts are not uploaded: load them into
    Prometheus, or provision Grafana with them.
    """
    dashboards = [dashboard_json(board, config) for board in make_boards(config)]
    try:
        with GrafanaApi(url, os.environ.get(TOKEN_VARIABLE, "")) as grafana:
            if not check_version(grafana):
                click.echo(
                    "Grafana hides its version; the dashboards need version 12 or newer", err=True
                )
            for each in publish_dashboards(
                grafana, dashboards, folder=folder, message=_MESSAGE, dry_run=dry_run
            ):
                if each.difference:
                    click.echo(each.difference)
                click.echo(f"{each.uid}: {each.change}{' (dry run)' * dry_run}", err=True)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except PublishError as error:
        raise click.ClickException(str(error)) from error


def _folder(uid: str | None) -> str:
    """Check the uid. An empty one is an error: it usually comes from an unset shell variable."""
    if uid is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", uid):
        raise click.BadParameter("a uid has 1 to 40 letters, digits, dashes or underscores")
    return uid or ""


def _check(context: click.Context, out: Path, files: dict[str, str]) -> None:
    """Compare the files on disk with the generated ones.

    Raises:
        ClickException: They differ; the message names the files and the command that fixes it.
    """
    stale, unexpected = _stale(out, files), _unexpected(out, files)
    problems = []
    if unexpected:
        problems.append(
            f"{len(unexpected)} files in {out} are not generated: {_joined(unexpected)}; "
            "remove them"
        )
    if stale:
        problems.append(
            f"{len(stale)} of {len(files)} files in {out} are out of date: {_joined(stale)}; "
            f"to fix it, run: python -m dashboards generate{_same_options(context)}"
        )
    if problems:
        raise click.ClickException("\n".join(problems))


def _same_options(context: click.Context) -> str:
    """Return the options of this call, for the command that fixes a failed check."""
    options = [
        (option, str(value))
        for option, value in (
            ("--config", context.meta.get(_CONFIG_FILE)),
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
