"""The workflows run commands that exist, on the Pythons that the metadata names."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text()) for path in ROOT.glob(".github/workflows/*")
}
_BUILD = re.compile(r"^(?:cd (\S+) && )?(\S+)/bin/python -m hatchling", re.MULTILINE)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _jobs(workflow: str) -> dict[str, Any]:
    jobs: dict[str, Any] = WORKFLOWS[workflow]["jobs"]
    return jobs


def _steps(workflow: str) -> list[dict[str, Any]]:
    return [step for job in _jobs(workflow).values() for step in job["steps"]]


def test_ci_runs_on_every_python_of_the_classifiers() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    matrix = _jobs("ci")["compatibility"]["strategy"]["matrix"]

    named = [each.rpartition(" ")[2] for each in classifiers if " 3." in each]
    assert named == matrix["python"]
    assert ["oldest", "newest"] == matrix["dependencies"]


def test_every_target_of_make_exists() -> None:
    commands = "\n".join(step.get("run", "") for name in WORKFLOWS for step in _steps(name))
    named = re.findall(r"\bmake ([a-z-]+)(\$\{\{ matrix.dependencies \}\})?", commands)
    targets = {
        name + value
        for name, several in named
        for value in (("oldest", "newest") if several else ("",))
    }

    assert len(targets) > 2
    assert targets <= TARGETS


@pytest.mark.parametrize("folder", ["elsewhere", "/elsewhere"])
def test_dist_takes_an_environment_of_any_path(folder: str) -> None:
    make = which("make")
    if make is None:
        pytest.skip("needs make")
    # What it would run, if the environment were ready.
    done = subprocess.run(
        [make, "--dry-run", f"--assume-old={folder}/.ready", "dist", f"VENV={folder}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    builds = _BUILD.findall(done.stdout)
    assert ["", "dashboards", "demo_pipeline"] == [place for place, _ in builds]
    assert {ROOT / folder} == {ROOT / place / environment for place, environment in builds}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_jobs_have_a_time_limit_and_may_only_read(workflow: str) -> None:
    assert {"contents": "read"} == WORKFLOWS[workflow]["permissions"]
    assert all("timeout-minutes" in job for job in _jobs(workflow).values())


def test_a_release_is_published_with_a_token_of_the_workflow_and_no_secret() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()

    assert {"id-token": "write"} == _jobs("release")["publish"]["permissions"]
    assert not re.search("secrets|password", text.partition("permissions:")[2])


def test_every_action_is_pinned_to_a_commit_because_tags_can_move() -> None:
    used = [step["uses"] for name in WORKFLOWS for step in _steps(name) if "uses" in step]

    assert len(used) > 5
    assert [] == [each for each in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each)]


def test_hooks_of_pre_commit_run_programs_of_the_environment() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]

    assert "local" == local["repo"]
    programs = {hook["entry"].split()[0] for hook in local["hooks"]}
    assert {".venv/bin/mypy", ".venv/bin/pytest", ".venv/bin/ruff"} == programs


def test_make_help_lists_each_target() -> None:
    echoed = re.findall(r'^\t@echo "(make .*)"$', (ROOT / "Makefile").read_text(), re.MULTILINE)
    listed = {name for line in echoed for name in re.findall(r"make ([a-z-]+)", line)}

    # The two halves of `compatibility`, and the help itself.
    assert {"help", "compatibility-oldest", "compatibility-newest"} == TARGETS - listed
