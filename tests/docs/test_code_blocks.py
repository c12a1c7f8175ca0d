"""Every Python block of the documentation runs, on the embedded broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demo_pipeline.broker import EmbeddedBroker
from tests.docs.pages import PAGES, ROOT, blocks_of
from tests.docs.running import run_page

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = {"schemas": "tests/tracing/schemas", "replay": "tests/tracing/replay"}
"""Guides whose blocks run in a `test_guide.py` of their package, with doubles."""
WITH_BLOCKS = [
    page
    for page in PAGES
    if page.stem not in ELSEWHERE and any(not block.title for block in blocks_of(page))
]
PROGRAMS = {"README.md": {"payment.py", "order.py"}}
"""Blocks that other tests run as programs: `test_readme.py`."""


@pytest.mark.integration
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: page.stem)
async def test_the_blocks_of_a_page_run_in_their_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # No collector listens, and nothing waits for one.
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")
    async with EmbeddedBroker() as broker:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
        await run_page(page, broker.bootstrap_servers, tmp_path)


def test_the_guides_of_packages_have_a_test_of_their_own() -> None:
    assert set(ELSEWHERE) <= {page.stem for page in PAGES}
    assert all((ROOT / folder / "test_guide.py").is_file() for folder in ELSEWHERE.values())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_block_with_a_file_name_is_run_elsewhere_or_includes_that_file(page: Path) -> None:
    for block in blocks_of(page):
        if block.title and block.title not in PROGRAMS.get(page.name, ()):
            # The examples have a test of their own, `examples/test_shop.py`.
            assert f'--8<-- "{block.title}"\n' == block.source
            assert (ROOT / block.title).is_file()
