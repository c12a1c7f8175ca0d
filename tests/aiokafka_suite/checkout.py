"""A checkout of aiokafka, and of it what runs."""

from __future__ import annotations

import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.aiokafka_suite.chosen import MODULES

PACKAGE: Final = "aiokafka_tests"
"""The package that aiokafka's tests are in here: `tests` is this project's."""


class UnusableError(Exception):
    """A path that is no checkout, or of another version; the text says what to do."""


def lay_out(path: Path, folder: Path) -> None:
    """Copy the chosen tests and aiokafka's pytest settings into an empty folder.

    Raises:
        UnusableError: The path has no aiokafka of the installed version, or no tests.
    """
    installed = version("aiokafka")
    source = path / "aiokafka" / "__init__.py"
    get = f"clone https://github.com/aio-libs/aiokafka at its tag v{installed} and give that folder"
    if not source.is_file():
        raise UnusableError(
            f"{path} has no aiokafka/__init__.py, so it is no checkout of it; {get}"
        )
    match = re.search(r'__version__ = "([^"]+)"', source.read_text())
    found = match[1] if match else "unknown"
    if found != installed:
        raise UnusableError(f"{path} is aiokafka {found}, but {installed} is installed; {get}")
    tests = path / "tests"
    missing = [
        name
        for name in ("_testutil.py", *MODULES, "../pyproject.toml")
        if not (tests / name).is_file()
    ]
    if missing:
        raise UnusableError(
            f"{path} has no {', '.join(f'tests/{name}' for name in missing)}; aiokafka's source "
            f"distributions come without tests; {get}"
        )
    package = folder / PACKAGE
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("_testutil.py", *MODULES):
        shutil.copy(tests / name, package / name)
    shutil.copy(path / "pyproject.toml", folder / "pyproject.toml")
