"""The command line `python -m tracing`: dead letters, lag and the list of metrics."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILED: Final = 1
_WRONG_USAGE: Final = 2
_STOPPED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: By default those of the process.

    Returns:
        The exit code: 0 for success, 1 for a failure, 2 for wrong usage, 130 for Ctrl-C.
    """
    try:
        from tracing.cli.main import run  # noqa: PLC0415 - needs packages that may be missing
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tracing"):
            raise
        sys.stderr.write(
            f"tracing: the command line needs {error.name}: pip install 'pipeline-tracing[cli]'\n"
        )
        return _FAILED
    except KeyboardInterrupt:
        return _STOPPED
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
