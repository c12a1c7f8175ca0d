"""`python -m tracing`: dead letters, lag and the list of metrics, for people and machines."""

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
        arguments: Those of the command line by default.

    Returns:
        0 when done, 1 when failed, 2 on wrong usage, 130 when stopped by Ctrl-C.
    """
    try:
        from tracing.cli.main import run  # noqa: PLC0415 - needs what may not be installed
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
