"""What all command lines share: versions, errors, help, completion and missing packages."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import click
import pytest

from tracing.cli.groups import LazyCommand

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[3]
PROGRAMS = {
    "tracing": "tracing.cli.main",
    "dashboards": "dashboards.cli.main",
    "demo_pipeline": "demo_pipeline.app.cli",
}
CHECKOUT = {
    "tracing": "'PATH/TO/CHECKOUT[cli]'",
    "dashboards": "PATH/TO/CHECKOUT PATH/TO/CHECKOUT/dashboards",
    "demo_pipeline": "PATH/TO/CHECKOUT PATH/TO/CHECKOUT/demo_pipeline",
}
SCRIPTS = ("pipeline-tracing", "pipeline-demo")
HEAVY = (
    "aiokafka", "aiosqlite", "asyncio", "fastavro", "grafana_foundation_sdk", "httpx", "msgspec",
    "opentelemetry", "rich", "sqlalchemy", "starlette", "yaml",
)  # fmt: skip
# Commands run in asyncio, and describe a few values with msgspec; neither is slow to import.
HEAVY_FOR_COMMANDS = (
    *(name for name in HEAVY if name not in {"asyncio", "msgspec"}),
    "dashboards.boards", "dashboards.rules", "jinja2", "uvicorn",
)  # fmt: skip


NO_CLUSTER = ("--bootstrap-servers", "127.0.0.1:1")


def run_program(package: str, *arguments: str) -> int:
    main = import_module(f"{package}.__main__").main
    return int(main(list(arguments)))


def run_script(
    script: str,
    *arguments: str,
    folder: Path = ROOT,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / script, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("package", PROGRAMS)
def test_the_version_is_that_of_the_distribution(
    package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == run_program(package, "--version")

    assert f"pipeline-tracing {metadata.version('pipeline-tracing')}\n" == capsys.readouterr().out


@pytest.mark.parametrize("package", PROGRAMS)
def test_without_a_command_the_help_is_an_error(
    package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == run_program(package)

    captured = capsys.readouterr()
    assert "" == captured.out
    assert captured.err.startswith(f"Usage: python -m {package} ")


@pytest.mark.parametrize("package", PROGRAMS)
@pytest.mark.parametrize("wrong", ["dance", "--dance", "dan\x1b[31mce"])
def test_wrong_usage_is_one_line_that_begins_with_the_program(
    package: str, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == run_program(package, wrong)

    captured = capsys.readouterr()
    assert "" == captured.out
    (line,) = captured.err.splitlines()
    assert line.startswith(f"{package}: ")
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("package", "arguments", "message"),
    [
        (
            "demo_pipeline",
            ["replay"],
            "Missing option '--read-model'. Choose from: orders, products",
        ),
        ("dashboards", ["generate", "--config", "a.yaml"], "did not find expected ',' or ']' in "),
    ],
)
def test_wrong_usage_that_click_or_a_parser_explains_in_several_lines_is_one(
    package: str,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("a: [1")

    assert 2 == run_program(package, *arguments)

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{package}: ")
    assert message in line


@pytest.mark.parametrize("package", PROGRAMS)
def test_ctrl_c_is_one_line(
    package: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(click.Group, "main", interrupt)

    assert 130 == run_program(package)
    assert f"{package}: stopped\n" == capsys.readouterr().err


@pytest.mark.parametrize("package", PROGRAMS)
def test_help_and_version_import_nothing_that_only_commands_need(package: str) -> None:
    program = (
        f"import sys; from {package}.__main__ import main\n"
        f"main(['--help']); main(['--version'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "[]" == done.stdout.splitlines()[-1]


@pytest.mark.parametrize("package", PROGRAMS)
def test_the_help_of_a_command_imports_nothing_heavy(package: str) -> None:
    commands = [[*path, "--help"] for path in _paths(import_module(PROGRAMS[package]).cli)]
    program = (
        f"import sys; from {package}.__main__ import main\n"
        f"imported = {{}}\n"
        f"for command in {commands!r}:\n"
        f"    assert main(command) == 0, command\n"
        f"    for name in {HEAVY_FOR_COMMANDS!r}:\n"
        f"        if name in sys.modules: imported.setdefault(name, command)\n"
        f"print(imported)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert len(commands) > 1
    assert "{}" == done.stdout.splitlines()[-1]


def _paths(group: click.Group) -> Iterator[list[str]]:
    """Yield the names that lead to each command, those of groups included."""
    for name, listed in group.commands.items():
        command = listed.load() if isinstance(listed, LazyCommand) else listed
        yield [name]
        if isinstance(command, click.Group):
            yield from ([name, *path] for path in _paths(command))


@pytest.mark.parametrize("package", PROGRAMS)
def test_the_help_of_a_group_says_what_each_command_says_of_itself(package: str) -> None:
    entries = list(_lazy(import_module(PROGRAMS[package]).cli))

    assert entries
    assert [] == [
        (listed.name, shown, own)
        for listed in entries
        if (shown := listed.get_short_help_str(1000)) != (own := _first_sentence(listed.load()))
    ]
    assert [] == [each.name for each in entries if each.name != each.load().name]


@pytest.mark.parametrize("columns", [80, 90, 100])
@pytest.mark.parametrize("package", PROGRAMS)
def test_a_help_breaks_no_option_at_its_hyphens_and_cuts_no_sentence(
    package: str, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for path in [[], *_paths(import_module(PROGRAMS[package]).cli)]:
        assert 0 == run_program(package, *path, "--help")

    lines = capsys.readouterr().out.splitlines()
    cut = [line for line in lines if line.endswith(("-", "...")) and "ARG" not in line]
    assert [] == [line for line in cut if not line.endswith("[NAME]...")]


def _first_sentence(command: click.Command) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())


def _lazy(group: click.Group) -> Iterator[LazyCommand]:
    for listed in group.commands.values():
        if isinstance(listed, LazyCommand):
            yield listed
        command = listed.load() if isinstance(listed, LazyCommand) else listed
        if isinstance(command, click.Group):
            yield from _lazy(command)


@pytest.mark.parametrize(
    ("package", "arguments", "missing", "needs"),
    [
        ("tracing", ["--help"], "click", "'pipeline-tracing[cli]'"),
        (
            "tracing",
            ["lag", *NO_CLUSTER],
            "aiokafka",
            "'pipeline-tracing[cli]'",
        ),
        (
            "tracing",
            ["dlq", "list", *NO_CLUSTER],
            "rich",
            "'pipeline-tracing[cli]'",
        ),
        ("tracing", ["dlq", "replay", *NO_CLUSTER], "rich", "'pipeline-tracing[cli]'"),
        ("tracing", ["metrics"], "rich", "'pipeline-tracing[cli]'"),
        ("dashboards", ["list"], "click", "pipeline-tracing-dashboards"),
        ("dashboards", ["list"], "grafana_foundation_sdk", "pipeline-tracing-dashboards"),
        ("dashboards", ["generate"], "yaml", "pipeline-tracing-dashboards"),
        ("demo_pipeline", ["run"], "click", "pipeline-tracing-demo"),
        ("demo_pipeline", ["run"], "uvicorn", "pipeline-tracing-demo"),
        ("demo_pipeline", ["saga", "list"], "sqlalchemy", "pipeline-tracing-demo"),
        ("demo_pipeline", ["saga", "list"], "aiosqlite", "pipeline-tracing-demo"),
        ("demo_pipeline", ["run"], "opentelemetry.sdk", "pipeline-tracing-demo"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(
    package: str, arguments: Sequence[str], missing: str, needs: str, tmp_path: Path
) -> None:
    (tmp_path / "orchestrator.sqlite3").touch()
    program = (
        f"import sys; sys.modules[{missing!r}] = None; from {package}.__main__ import main\n"
        f"sys.exit(main({arguments!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (1, "") == (done.returncode, done.stdout)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{package}: ")
    assert line.endswith(
        f"pip install {needs}, or from a checkout: pip install {CHECKOUT[package]}"
    )
    assert missing.partition(".")[0] in line


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_console_script_works_beside_files_of_the_same_names(script: str, tmp_path: Path) -> None:
    for name in ("tracing", "dashboards", "demo_pipeline", "click", "dlq"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")

    done = run_script(script, "--help", folder=tmp_path)

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith(f"Usage: {script} ")


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_console_script_prints_what_completes_it_in_a_shell(script: str, shell: str) -> None:
    variable = f"_{script.replace('-', '_').upper()}_COMPLETE"

    done = run_script(script, variables={variable: f"{shell}_source"})

    assert (0, variable in done.stdout) == (done.returncode, True)


@pytest.mark.parametrize(
    ("script", "words", "expected"),
    [
        ("pipeline-tracing", "pipeline-tracing ", ["dlq", "lag", "metrics"]),
        ("pipeline-tracing", "pipeline-tracing dlq s", ["show", "skip"]),
        ("pipeline-tracing", "pipeline-tracing dlq list --fail", ["--fail-if-any"]),
        ("pipeline-demo", "pipeline-demo s", ["saga", "schemas", "serve", "stock"]),
        ("pipeline-demo", "pipeline-demo run --scenario pay", ["payment-declines"]),
        ("pipeline-demo", "pipeline-demo serve or", ["orders", "orchestrator"]),
    ],
)
def test_a_shell_completes_commands_options_and_values(
    script: str, words: str, expected: list[str]
) -> None:
    count = str(len(words.split()) - (not words.endswith(" ")))
    variable = f"_{script.replace('-', '_').upper()}_COMPLETE"

    done = run_script(
        script,
        variables={variable: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count},
    )

    completed = [line.partition(",")[2] for line in done.stdout.splitlines()]
    assert expected == [word for word in completed if word in expected]
    assert "" == done.stderr
