"""Files and folders that only their owner may look into, whatever the umask says.

They hold the orders, names and addresses of customers.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

PRIVATE_UMASK: Final = 0o077
"""The umask of programs whose files hold such things."""


if TYPE_CHECKING:
    from pathlib import Path

_FOLDER: Final = 0o700
_FILE: Final = 0o600


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing; those that exist stay as they are.

    Raises:
        OSError: One of them cannot be made, or is a file.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_private_folder(folder.parent)
    folder.mkdir(mode=_FOLDER, exist_ok=True)


def make_private_file(file: Path) -> None:
    """Make an empty file where there is none.

    Raises:
        OSError: It cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _FILE))
