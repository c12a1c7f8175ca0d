"""Prometheus and promtool, without service discovery in clouds, which is most of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.dashboards.go_programs import GoProgram

if TYPE_CHECKING:
    from pathlib import Path

VERSION: Final = "v0.316.0"
"""The version of the Go module; it is Prometheus 3.16."""
HOW_TO_GET_IT: Final = "Prometheus is built with Go 1.25 or newer, which is not on this machine"
_PROMETHEUS: Final = GoProgram(
    name="prometheus",
    module="github.com/prometheus/prometheus",
    version=VERSION,
    commands=("prometheus", "promtool"),
    tags="remove_all_sd",
)


def prometheus_folder() -> Path | None:
    """Return the folder with both, and build them if they are missing; `None` without Go.

    The build takes minutes.
    """
    return _PROMETHEUS.built()
