"""The gate on the committed schemas: this test is what makes CI refuse a change."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from demo_pipeline.__main__ import main
from demo_pipeline.domain.schemas import FOLDER
from demo_pipeline.evolution.folder import read_folder
from demo_pipeline.evolution.resolution import mismatches

FOLDER_PATH = Path(str(FOLDER))


def test_the_committed_schemas_may_be_released(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCHEMA_REGISTRY_URL", raising=False)

    code = main(["schemas", "check"])

    output = capsys.readouterr()
    assert 0 == code, output.out
    assert "are registered and compatible (FULL_TRANSITIVE)" in output.out


def test_every_version_reads_every_other_version_of_its_message() -> None:
    history = read_folder(FOLDER_PATH).history

    assert [] == [
        (name, writer, reader, found)
        for name, versions in history.items()
        for writer in versions
        for reader in versions
        if (found := mismatches(writer=versions[writer].schema, reader=versions[reader].schema))
    ]


def test_no_version_repeats_its_predecessor() -> None:
    history = read_folder(FOLDER_PATH).history

    assert [] == [
        (name, old, new)
        for name, versions in history.items()
        for old, new in pairwise(versions)
        if versions[old].fingerprint == versions[new].fingerprint
    ]
