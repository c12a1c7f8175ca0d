"""npm packages that tests use, fetched once into the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

HOW_TO_GET_NPM: Final = "npm is not installed; Debian's package of that name has it"
_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
_QUIET: Final = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")


def installed_packages(package_json: Path) -> Path:
    """Return the folder `node_modules` with the packages that a package.json pins.

    Raises:
        FileNotFoundError: npm is not installed.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError(HOW_TO_GET_NPM)
    pins = package_json.read_bytes()
    name = f"{package_json.parent.name}-{hashlib.sha256(pins).hexdigest()[:12]}"
    folder = _CACHE / "pipeline-tracing" / name
    if not folder.exists():
        new = folder.with_name(f"{folder.name}.{os.getpid()}")
        new.mkdir(parents=True)
        (new / "package.json").write_bytes(pins)
        subprocess.run([npm, "install", *_QUIET], check=True, capture_output=True, cwd=new)
        try:
            new.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(new)
    return folder / "node_modules"
