"""Whether a report can be written, found out before the run that it would be about."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from demo_pipeline.runtime.errors import UsageError
from demo_pipeline.runtime.private_files import make_private_folder

if TYPE_CHECKING:
    from pathlib import Path


def writable_folder(folder: Path) -> None:
    """Make a folder where there is none, for its owner alone, and try to write into it.

    Raises:
        UsageError: That does not work.
    """
    try:
        make_private_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write a report to {folder} ({error.strerror}): name another --report folder"
        ) from error
