"""The machine and the versions that a figure belongs to, and the CPUs that measurements run on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = (
    "aiokafka",
    "opentelemetry-api",
    "opentelemetry-sdk",
    "opentelemetry-instrumentation-aiokafka",
    "faststream",
    "confluent-kafka",
    "opentelemetry-instrumentation-confluent-kafka",
)


def describe() -> dict[str, Any]:
    """Return the machine, Python and the installed packages that the benchmarks use."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {
            name: installed for name in PACKAGES if (installed := version_of(name)) is not None
        },
    }


def version_of(package: str) -> str | None:
    """Return the version of an installed package; `None` if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def two_cpus() -> tuple[int, int] | None:
    """Return two CPUs that this process may use: for the broker, and for the client.

    `None` where there is only one, or where the platform cannot pin a process.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    cpus = sorted(os.sched_getaffinity(0))
    return (cpus[0], cpus[-1]) if len(cpus) > 1 else None


def pin(cpu: int) -> None:
    """Run this process, and those that it starts from now on, on one CPU only."""
    os.sched_setaffinity(0, {cpu})
