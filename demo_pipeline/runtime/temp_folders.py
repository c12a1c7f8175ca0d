"""Temporary folders that do not outlive their process for long, however it ends.

A process that is killed cannot tidy up, so each one begins by removing what others left behind.
A folder belongs to the process that holds a lock on the file in it; the operating system gives
that lock back when the process is gone.
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

_PREFIX: Final = "pipeline-demo-"
_LOCK: Final = ".in-use"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK


@contextmanager
def temp_folder(kind: str, parent: Path | None = None) -> Iterator[Path]:
    """Make a folder that is removed when the block is left; only its owner can read it.

    Folders that killed processes of the same user left there are removed first.

    Args:
        kind: What it is for, as a part of its name.
        parent: Where to make it; by default where temporary files go.
    """
    where = Path(tempfile.gettempdir()) if parent is None else parent
    sweep(where)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-", dir=where))
    lock = None
    try:
        # Under another name until it is locked: a sweep would take it for one that is left.
        new = folder / f"{_LOCK}.new"
        lock = os.open(new, _FILE | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        new.rename(folder / _LOCK)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        # A program that is about to end may still write into it: what stays is as a killed process
        # leaves it, for the next one.
        with contextlib.suppress(OSError):
            (folder / _LOCK).touch(0o600)
        if lock is not None:
            os.close(lock)


def sweep(where: Path) -> None:
    """Remove the folders that killed processes of this user left in `where`.

    A folder stays if its process lives, if it is another user's, or if it has no lock file, as it
    is then not known to be ours. Links are not followed.
    """
    for folder in where.glob(f"{_PREFIX}*"):
        # Whatever is wrong with it, it must not keep a run from starting.
        with contextlib.suppress(OSError):
            _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    with _opened(folder, _FOLDER) as opened:
        if not stat.S_ISDIR(os.fstat(opened).st_mode) or not _is_ours(opened):
            return
        with _opened(_LOCK, _FILE, dir_fd=opened) as lock:
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
