"""A regular expression is refused if Prometheus would refuse the rules that have it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from dashboards.patterns import PatternError, check_pattern

if TYPE_CHECKING:
    from pathlib import Path

ACCEPTED = (
    "", ".*", "a|b", "a|", "orders[.].*", "(?i)shop", "(?:a|b)-.*", "(?P<n>a)(b)", "(?<n>a)",
    "a*?b+?c??", "a{2}", "a{2,}?", "a{1000}", "a{,3}", "a{", "a{1000}b{1000}", "(a{10}){100}",
    "[*+]+", "[]+*]", "[[:alpha:]]+", "[[a]b]", "[a&&b]", "\\++", "\\{2}+", "\\d{2}", "a\\\\+", "ä",
    "[+-]", "\"'", "\\pL", "\\<a",
)  # fmt: skip
REFUSED = (
    "(", "*a", "[b-a]", "(a)\\1", "(?=a)", "(?<!a)", "(?P=n)", "(?>a)", "(?#c)", "(?x)a", "(?u:a)",
    "(?R)a", "a++", "a*+", "a?+", "a**", "a???", "a*?+", "a{2}+", "a{2}{3}", "a{2}?{3}", "a{1001}",
    "a{2,1001}", "a{3,2}", "(a{100}){100}", "[a--b]", "\\u0041", "\\Z",
)  # fmt: skip


@pytest.mark.parametrize("pattern", ACCEPTED)
def test_a_pattern_is_accepted(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize("pattern", REFUSED)
def test_a_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match="is not a regular expression that Prometheus knows"):
        check_pattern(pattern)


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_prometheus_accepts_and_refuses_the_same_patterns(binaries: Path, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    wrong = []
    for pattern in (*ACCEPTED, *REFUSED):
        escaped = pattern.replace("\\", "\\\\").replace('"', '\\"')
        rule = {"alert": "A", "expr": f'up{{job=~"{escaped}"}}'}
        file.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
        done = subprocess.run(
            [binaries / "promtool", "check", "rules", file], check=False, capture_output=True
        )
        if (0 == done.returncode) != (pattern in ACCEPTED):
            wrong.append(pattern)
    assert [] == wrong
