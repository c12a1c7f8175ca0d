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
_NAMED_AT_MOST: Final = 5
_CONFIG_FILE: Final = "dashboards.config_file"
_NAME_OF: Final = {"--out": "out", "--format": "form"}
_LOADED: Final = frozenset({".json", ".yaml", ".yml"})
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
            return load_config(Path(str(value)))
        except ConfigError as error:
            self.fail(str(error), param, ctx)


_CONFIG = click.option(
    "--config", type=_ConfigType(), default=Config(), show_default="built in", metavar="FILE",
    help="YAML: prefix, title, selector, datasources, objectives, grafana_url, runbook_url, "
    "labels, recording_rules.",
)  # fmt: skip


@click.group()
def cli() -> None:
    """Grafana dashboards and alert rules, made from the catalogue of metrics."""


@cli.command()
@_CONFIG
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=_GENERATED,
    show_default="dashboards/generated", help="The folder to write to.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="grafana", show_default=True,
    help="Plain files; a folder that Grafana is provisioned from; or resources of Kubernetes.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing; fail if the files are not up to date.")
@click.pass_context
def generate(context: click.Context, *, config: Config, out: Path, form: str, check: bool) -> None:
    """Write dashboards and rules, sorted and stable."""
    files = generated(config, cast("Format", form))
    ours = context.get_parameter_source("out") is ParameterSource.DEFAULT
    if ours and (config != Config() or form != FORMATS[0]):
        raise click.UsageError("--out: say where to; the built-in folder is for the defaults")
    try:
        if check:
            _check(context, out, files)
            click.echo(f"all {len(files)} files are up to date")
            return
        for name, written in files.items():
            file = out / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(written, encoding="utf-8")
        for name in _strangers(out, files):
            click.echo(f"{out / name} is none of them; remove it if it is left over", err=True)
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or out} cannot be written or read: {error.strerror}"
        ) from error
    click.echo(f"{len(files)} files in {out}")


@cli.command("list")
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="As JSON, for machines.")
def list_command(*, config: Config, as_json: bool) -> None:
    """List dashboards and alerts."""
    boards = [
        {"uid": uid_of(board.name, config), "title": board.title, "answers": board.description}
        for board in make_boards(config)
    ]
    found = make_alerts(config)
    rules = [
        {"alert": alert.name, "severity": alert.severity, "for": alert.wait, "expr": alert.expr}
        for alert in found
    ]
    if as_json:
        click.echo(json.dumps({"dashboards": boards, "alerts": rules}, indent=2))
        return
    width = max(len(each) for each in (*(str(b["uid"]) for b in boards), *(a.name for a in found)))
    click.echo("dashboards")
    for board in boards:
        click.echo(f"  {board['uid']:<{width}}  {board['answers']}")
    click.echo("alerts")
    for alert in found:
        wait = "at once" if alert.wait == "0m" else f"after {alert.wait}"
        click.echo(f"  {alert.name:<{width}}  {alert.severity}, {wait}")


@cli.command()
@_CONFIG
@click.option("--url", required=True, help="Grafana's address, with its sub-path if it has one.")
@click.option(
    "--folder", default=None, metavar="UID", callback=lambda _context, _option, uid: _folder(uid),
    help="The folder; made where it is missing. Without, dashboards stay where they are.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
def publish(*, config: Config, url: str, folder: str, dry_run: bool) -> None:
    """Bring the dashboards into a running Grafana, and show what that changes.

    The token of a service account with the role Editor comes from the environment variable
    GRAFANA_TOKEN. What is up to date is left alone. Alerts are no part of this: load them into
    Prometheus, or let Grafana be provisioned with them.
    """
    written = [dashboard_json(board, config) for board in make_boards(config)]
    try:
        with GrafanaApi(url, os.environ.get(TOKEN_VARIABLE, "")) as grafana:
            if not check_version(grafana):
                click.echo("Grafana hides its version; the dashboards need 12 or newer", err=True)
            for each in publish_dashboards(
                grafana, written, folder=folder, message=_MESSAGE, dry_run=dry_run
            ):
                if each.difference:
                    click.echo(each.difference)
                click.echo(f"{each.uid}: {each.change}{' (dry run)' * dry_run}", err=True)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except PublishError as error:
        raise click.ClickException(str(error)) from error


def _folder(uid: str | None) -> str:
    """An empty one is refused: it is a variable that is not set, not the wish to leave folders."""
    if uid is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", uid):
        raise click.BadParameter("a uid has 1 to 40 letters, digits, dashes and underscores")
    return uid or ""


def _check(context: click.Context, out: Path, files: dict[str, str]) -> None:
    """Compare what is there with what should be.

    Raises:
        ClickException: They differ; the message names the files and the mend.
    """
    stale, strangers = _stale(out, files), _strangers(out, files)
    wrong = []
    if strangers:
        wrong.append(
            f"{len(strangers)} files in {out} are made by nobody: {_named(strangers)}; remove them"
        )
    if stale:
        wrong.append(
            f"{len(stale)} of {len(files)} files in {out} are not up to date: {_named(stale)}; "
            f"mend it: python -m dashboards generate{_called(context)}"
        )
    if wrong:
        raise click.ClickException("\n".join(wrong))


def _called(context: click.Context) -> str:
    """The options of this call: the mend needs the same ones."""
    given = [
        (option, str(value))
        for option, value in (
            ("--config", context.meta.get(_CONFIG_FILE)),
            ("--out", context.params["out"]),
            ("--format", context.params["form"]),
        )
        if value is not None
        and context.get_parameter_source(_NAME_OF.get(option, "")) is not ParameterSource.DEFAULT
    ]
    return "".join(f" {option} {shlex.quote(value)}" for option, value in given)


def _named(names: list[str]) -> str:
    return ", ".join(names[:_NAMED_AT_MOST]) + ", …" * (len(names) > _NAMED_AT_MOST)


def _strangers(out: Path, files: dict[str, str]) -> list[str]:
    """Files beside those that are generated, which Grafana or Prometheus would load as well.

    A folder that holds one file of ours alone is shared with others, as Grafana's own is.
    """
    folders = Counter((out / name).parent for name in files)
    return sorted(
        name
        for folder, number in folders.items()
        if number > 1
        for file in folder.glob("*")
        if file.suffix in _LOADED and (name := str(file.relative_to(out))) not in files
    )


def _stale(out: Path, files: dict[str, str]) -> list[str]:
    found = []
    for name, written in files.items():
        try:
            current = (out / name).read_bytes()
        except FileNotFoundError:
            current = b""
        if current != written.encode():
            found.append(name)
    return found
