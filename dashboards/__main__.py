"""`python -m dashboards`: the command line."""

from __future__ import annotations

import sys

_FAILED = 1


def main() -> int:
    """Run the command that the command line names; returns its exit code."""
    try:
        from dashboards.cli import cli  # noqa: PLC0415 - needs what may not be installed
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("dashboards", "tracing")):
            raise
        sys.stderr.write(
            f"dashboards: this needs {error.name}: pip install 'pipeline-tracing[dashboards]'\n"
        )
        return _FAILED
    cli(prog_name="python -m dashboards")
    return 0


if __name__ == "__main__":
    sys.exit(main())
