"""Where `generate` writes: an installed package is left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dashboards

PACKAGE = Path(dashboards.__file__).parent


@pytest.mark.parametrize("more", [(), ("--check",)])
def test_an_installed_package_is_not_written_to(more: tuple[str, ...], tmp_path: Path) -> None:
    installed = tmp_path / "site-packages"
    shutil.copytree(
        PACKAGE, installed / "dashboards", ignore=shutil.ignore_patterns("__pycache__", "*.json")
    )

    done = subprocess.run(
        [sys.executable, "-m", "dashboards", "generate", *more],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{installed}{os.pathsep}{PACKAGE.parent}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (2, "dashboards: use --out to choose a folder\n") == (done.returncode, done.stderr)
    assert [] == list(installed.rglob("*.json"))


def test_a_checkout_is_written_to(tmp_path: Path) -> None:
    shutil.copytree(
        PACKAGE, tmp_path / "dashboards", ignore=shutil.ignore_patterns("__pycache__", "*.json")
    )
    shutil.copy(PACKAGE.parent / "pyproject.toml", tmp_path)

    subprocess.run(
        [sys.executable, "-m", "dashboards", "generate"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{PACKAGE.parent}"},
        capture_output=True, check=True,
    )  # fmt: skip

    assert {file.name for file in PACKAGE.rglob("generated/*.json")} == {
        file.name for file in tmp_path.rglob("generated/*.json")
    }
