from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.machine import PACKAGES, describe, two_cpus, version_of
from benchmarks.overhead import __main__ as command
from benchmarks.overhead import elsewhere
from benchmarks.overhead.rows import Variant
from benchmarks.overhead.turns import MeasurementError, run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "encodde"], "no such row: encodde; the rows are sampled"),
        (["--rounds", "0"], "at least 1"),
        (["--output", "/nowhere/figures.json"], "there is no folder /nowhere"),
    ],
)
def test_a_wrong_option_is_an_error_of_usage(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["overhead", *arguments])

    with pytest.raises(SystemExit) as ended:
        command.main()

    assert 2 == ended.value.code
    assert message in capsys.readouterr().err


def test_help_lists_the_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["overhead", "--help"])

    with pytest.raises(SystemExit):
        command.main()

    assert "typed event, handled and forwarded" in capsys.readouterr().out


def test_a_failed_measurement_shows_the_end_of_what_it_printed() -> None:
    with pytest.raises(MeasurementError, match=r"(?s)bare \(aiokafka\).*Error"):
        run(Variant(), "127.0.0.1:1", "bench", 1, None)


def test_clients_whose_telemetry_is_missing_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_faststream(module: str) -> object:
        if module.startswith("faststream"):
            return object()
        raise ModuleNotFoundError(module)

    monkeypatch.setattr(elsewhere, "find_spec", only_faststream)
    reported: list[str] = []

    assert ["faststream"] == elsewhere.installed(reported.append)
    assert ["confluent: its telemetry is not installed, so it is left out"] == reported


def test_the_machine_is_described_with_the_versions_that_are_installed() -> None:
    described = describe()

    assert described["cores"] >= 1
    assert described["python"].startswith("CPython 3.")
    assert version_of("aiokafka") == described["packages"]["aiokafka"]
    assert set(described["packages"]) <= set(PACKAGES)
    assert version_of("no-such-package-at-all") is None


def test_the_broker_and_the_client_get_different_cpus() -> None:
    cpus = two_cpus()

    assert cpus is None or cpus[0] != cpus[1]


def test_every_module_of_the_benchmark_fits_a_page_or_three() -> None:
    folder = Path(command.__file__).parent

    assert [] == [
        file.name for file in folder.glob("*.py") if len(file.read_text().splitlines()) > 300
    ]
