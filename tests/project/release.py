"""Refuse a release whose version, changelog or addresses do not fit.

python -m tests.project.release v0.1.0 https://example.com/the/repository
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Final

from tracing.core.version import __version__

ROOT: Final = Path(__file__).parents[2]


def faults(tag: str, repository: str, version: str, changelog: str, source: str) -> list[str]:
    """Return why the tag must not be published.

    Args:
        tag: The tag that was pushed.
        repository: Address of the repository that it was pushed to.
        version: The version of the distributions.
        changelog: The text of CHANGELOG.md.
        source: The address in the metadata of the distributions.
    """
    reasons = []
    if f"v{version}" != tag:
        reasons.append(f"the tag is {tag}, but tracing/core/version.py has {version}")
    if not re.search(rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        reasons.append(f"CHANGELOG.md has no section '## {version} - YYYY-MM-DD'")
    if source != repository:
        reasons.append(f"[project.urls] names {source}, but this is {repository}")
    return reasons


def main() -> int:
    """Print each reason on standard error, and return the exit code."""
    tag, repository = sys.argv[1:]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    reasons = faults(tag, repository, __version__, changelog, project["urls"]["Source"])
    for reason in reasons:
        sys.stderr.write(f"release: {reason}\n")
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
