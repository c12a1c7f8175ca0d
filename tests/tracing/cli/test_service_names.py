"""The names under which commands export: those of the environment, else their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tracing import otlp
from tracing.cli.dlq_sending import replay_telemetry
from tracing.cli.lag import _exporting

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

ATTRIBUTES = "deployment.environment.name=test,service.name=ours"


@pytest.mark.parametrize(
    ("exporting", "own"),
    [(_exporting, "pipeline-lag-monitor"), (replay_telemetry, "pipeline-tracing-dlq")],
)
@pytest.mark.parametrize(
    ("named", "attributes", "expected"),
    [("theirs", ATTRIBUTES, "theirs"), ("", ATTRIBUTES, "ours"), ("", "", None)],
)
def test_a_command_has_the_name_that_the_environment_gives(
    exporting: Callable[[], AbstractContextManager[Any]],
    own: str,
    named: str,
    attributes: str,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: list[str | None] = []
    monkeypatch.setenv("OTEL_SERVICE_NAME", named)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", attributes)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")
    configure = otlp.configure

    def noted(name: str | None = None) -> otlp.Providers:
        names.append(name)
        return configure(name)

    monkeypatch.setattr(otlp, "configure", noted)

    with exporting():
        assert [expected or own] == names
