"""The site builds without a warning, and the README stays short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import README, ROOT


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    api = (tmp_path / "reference" / "api.html").read_text()
    for name in ("tracing.consume", "tracing.sql.SqlOutbox", "tracing.testing.Capture"):
        assert f'id="{name}"' in api
    assert "pipeline.end_to_end.duration" in (tmp_path / "reference" / "metrics.html").read_text()


def test_the_readme_is_short() -> None:
    assert len(README.read_text().split()) <= 900
