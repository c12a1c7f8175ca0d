"""Files and folders that only their owner can open, whatever the umask is.

They hold the orders, names and addresses of customers.

Temporary folders do not outlive their process for long, however it ends. A process that is killed
cannot tidy up, so each one begins by removing what others left behind. A folder belongs to the
process that holds a lock on the file in it; the operating system releases the lock when that
process is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE_UMASK: Final = 0o077
"""The umask of programs whose files hold customers' data."""

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_PREFIX: Final = "pipeline-demo-"
_LOCK: Final = ".in-use"
_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_OPEN_FILE: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents; existing ones keep their permissions.

    Raises:
        OSError: One of them cannot be created, or is a file.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_private_folder(folder.parent)
    folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)


def make_private_file(file: Path) -> None:
    """Create an empty file, unless it exists.

    Raises:
        OSError: It cannot be created.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _FILE_MODE))


@contextmanager
def temp_folder(kind: str, parent: Path | None = None) -> Iterator[Path]:
    """Create a folder that is removed at the end of the block; only its owner can read it.

    Folders left there by killed processes of the same user are removed first.

    Args:
        kind: Its purpose, as a part of its name.
        parent: Where to create it; by default where temporary files go.
    """
    where = Path(tempfile.gettempdir()) if parent is None else parent
    sweep(where)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-", dir=where))
    lock = None
    try:
        # Under another name until it is locked: a sweep would take it for a leftover.
        new = folder / f"{_LOCK}.new"
        lock = os.open(new, _OPEN_FILE | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        new.rename(folder / _LOCK)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        # A program that is ending may still write into the folder. Whatever remains looks like the
        # leftovers of a killed process, and the next sweep removes it.
        with contextlib.suppress(OSError):
            (folder / _LOCK).touch(0o600)
        if lock is not None:
            os.close(lock)


def sweep(where: Path) -> None:
    """Remove the folders that killed processes of this user left in `where`.

    A folder stays if its process lives, if it belongs to another user, or if it has no lock file
    and may not be ours. Links are not followed.
    """
    for folder in where.glob(f"{_PREFIX}*"):
        # A leftover must not keep a run from starting.
        with contextlib.suppress(OSError):
            _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    with _opened(folder, _OPEN_FOLDER) as opened:
        if not stat.S_ISDIR(os.fstat(opened).st_mode) or not _is_ours(opened):
            return
        with _opened(_LOCK, _OPEN_FILE, dir_fd=opened) as lock:
            if not stat.S_ISREG(os.fstat(lock).st_mode) or not _is_ours(lock):
                return
            # Raises where a process holds it.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


def _is_ours(file: int) -> bool:
    return os.fstat(file).st_uid == os.geteuid()


@contextmanager
def _opened(path: Path | str, flags: int, dir_fd: int | None = None) -> Iterator[int]:
    file = os.open(path, flags, dir_fd=dir_fd)
    try:
        yield file
    finally:
        os.close(file)
