from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.demo_pipeline.evolution.shop import Shop

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shop:
    return Shop(tmp_path / "schemas", capsys)
