"""`python -m dashboards`: the command line."""

from __future__ import annotations

import sys

_FAILED = 1
_WRONG_USAGE = 2
_STOPPED = 130


def main() -> int:
    """Run the command that the command line names; returns its exit code.

    What is wrong is one line on standard error: 1 when something failed, 2 on wrong usage, 130
    when stopped.
    """
    try:
        import click  # noqa: PLC0415 - may not be installed

        from dashboards.cli import cli  # noqa: PLC0415 - needs what may not be installed
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("dashboards", "tracing")):
            raise
        sys.stderr.write(
            f"dashboards: this needs {error.name}: pip install 'pipeline-tracing[dashboards]'\n"
        )
        return _FAILED
    try:
        code = cli.main(prog_name="python -m dashboards", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_wanted:
        click.echo(help_wanted.format_message(), err=True)
        return _WRONG_USAGE
    except click.ClickException as error:
        click.echo(f"dashboards: {error.format_message()}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _STOPPED
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
