"""A release is refused unless tag, version, changelog and addresses fit."""

from __future__ import annotations

import pytest

from tests.project.release import faults

HOME = "https://example.com/home"
DATED = "# Changelog\n\n## 0.2.0 - 2026-12-01\n\n### Added\n"


def test_a_release_that_fits_has_no_faults() -> None:
    assert [] == faults("v0.2.0", HOME, "0.2.0", DATED, HOME)


@pytest.mark.parametrize(
    ("tag", "repository", "changelog", "fault"),
    [
        ("v0.3.0", HOME, DATED, "the tag is v0.3.0, but tracing/core/version.py has 0.2.0"),
        ("0.2.0", HOME, DATED, "the tag is 0.2.0"),
        ("v0.2.0", HOME, "## 0.2.0 - unreleased\n", "CHANGELOG.md has no section"),
        ("v0.2.0", HOME, "## 0.2.01 - 2026-12-01\n", "CHANGELOG.md has no section"),
        ("v0.2.0", "https://example.com/fork", DATED, f"[project.urls] names {HOME}"),
    ],
)
def test_what_does_not_fit_is_named(tag: str, repository: str, changelog: str, fault: str) -> None:
    (reason,) = faults(tag, repository, "0.2.0", changelog, HOME)

    assert reason.startswith(fault)
