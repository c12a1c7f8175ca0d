from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.brokers import unavailable
from tests.dashboards.prometheus_binaries import HOW_TO_GET_IT, prometheus_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def binaries() -> Path:
    """Return the folder with prometheus and promtool."""
    folder = prometheus_folder()
    if folder is None:
        unavailable(HOW_TO_GET_IT)
    return folder
