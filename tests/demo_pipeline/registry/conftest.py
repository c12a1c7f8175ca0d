from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.demo_pipeline.evolution.shop import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def registry(registry_url: str) -> Iterator[httpx.Client]:
    """Return a client of the registry that all tests share, after emptying it."""
    with httpx.Client(base_url=registry_url, timeout=60, trust_env=False) as client:
        for subject in client.get("subjects").raise_for_status().json():
            for how in ("", "?permanent=true"):
                client.delete(f"subjects/{subject}{how}").raise_for_status()
        yield client


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shop:
    return Shop(tmp_path / "schemas", capsys)
