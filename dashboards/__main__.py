"""`python -m dashboards`: the command line."""

from __future__ import annotations

import sys

_FAILED = 1
_WRONG_USAGE = 2
_INTERRUPTED = 130


def main() -> int:
    """Run the command line and return its exit code.

    An error is one line on standard error. The code is 1 for a failure, 2 for wrong usage and 130
    for an interrupt.
    """
    try:
        import click  # noqa: PLC0415 - optional dependency

        from dashboards.cli import cli  # noqa: PLC0415 - needs optional dependencies
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("dashboards", "tracing")):
            raise
        sys.stderr.write(
            f"dashboards: {error.name} is not installed: "
            "pip install 'pipeline-tracing[dashboards]'\n"
        )
        return _FAILED
    try:
        code = cli.main(prog_name="python -m dashboards", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as usage:
        click.echo(usage.format_message(), err=True)
        return _WRONG_USAGE
    except click.ClickException as error:
        click.echo(f"dashboards: {error.format_message()}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
