"""Copy the selected tests from a checkout of aiokafka."""

from __future__ import annotations

import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.aiokafka_suite.selection import MODULES

PACKAGE: Final = "aiokafka_tests"
"""The package for aiokafka's tests; `tests` is this project's own."""


class UnusablePathError(Exception):
    """A path that is not a checkout of the installed version; the message says what to do."""


def copy_tests(path: Path, folder: Path) -> None:
    """Copy the selected tests and aiokafka's pytest settings into an empty folder.

    Raises:
        UnusablePathError: The path lacks aiokafka of the installed version, or its tests.
    """
    installed = version("aiokafka")
    source = path / "aiokafka" / "__init__.py"
    advice = (
        f"clone https://github.com/aio-libs/aiokafka at its tag v{installed} and give that folder"
    )
    if not source.is_file():
        raise UnusablePathError(
            f"{path} has no aiokafka/__init__.py, so it is not a checkout of aiokafka; {advice}"
        )
    match = re.search(r'__version__ = "([^"]+)"', source.read_text())
    actual = match[1] if match else "unknown"
    if actual != installed:
        raise UnusablePathError(
            f"{path} is aiokafka {actual}, but {installed} is installed; {advice}"
        )
    tests = path / "tests"
    missing = [
        name
        for name in ("_testutil.py", *MODULES, "../pyproject.toml")
        if not (tests / name).is_file()
    ]
    if missing:
        raise UnusablePathError(
            f"{path} has no {', '.join(f'tests/{name}' for name in missing)}; aiokafka's source "
            f"distributions come without tests; {advice}"
        )
    package = folder / PACKAGE
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("_testutil.py", *MODULES):
        shutil.copy(tests / name, package / name)
    shutil.copy(path / "pyproject.toml", folder / "pyproject.toml")
