"""Apicurio's own rules, which are those of Avro's Java library, agree with ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from demo_pipeline.domain.schemas import FOLDER
from demo_pipeline.domain.topics import TOPIC_OF
from demo_pipeline.evolution.folder import read_folder
from demo_pipeline.evolution.parsing import parse
from demo_pipeline.evolution.resolution import Kind, mismatches
from tests.demo_pipeline.evolution.change_table import ACCEPTED, REFUSED, field

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def only_ours(refused: set[tuple[Kind, str]], writer: str) -> bool:
    """Return whether all is refused by rules that only we have; `resolution` says why."""
    bytes_as_string = (Kind.TYPE, "note") if '"name": "note", "type": "bytes"' in writer else None
    return all(each[0] is Kind.LOGICAL or each == bytes_as_string for each in refused)


class Rules:
    """The rules of a registry for two schemas."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def can_read(self, *, writer: str, reader: str) -> bool:
        """Return whether the registry says that a reader can read what a writer writes."""
        # A subject of its own for each question: its level is about its earlier versions.
        subject = f"pair-{uuid4()}"
        self._client.post(
            f"subjects/{subject}/versions", json={"schema": writer}
        ).raise_for_status()
        self._client.put(f"config/{subject}", json={"compatibility": "BACKWARD"}).raise_for_status()
        answer = self._client.post(
            f"compatibility/subjects/{subject}/versions/latest", json={"schema": reader}
        )
        if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            # Two fields of the writer have the name of one, once its aliases are applied.
            assert "aliases" in reader
            return False
        return bool(answer.raise_for_status().json()["is_compatible"])


@pytest.fixture
def rules(registry: httpx.Client) -> Rules:
    return Rules(registry)


def ours(*, writer: str, reader: str) -> set[tuple[Kind, str]]:
    """Return what our rules say cannot be read, as kind and field."""
    found = mismatches(writer=parse(writer), reader=parse(reader))
    return {(each.kind, each.path) for each in found}


def test_both_accept_every_pair_of_committed_versions(rules: Rules) -> None:
    pairs = [
        (f"{name} {written} read as {read}", writer.text, reader.text)
        for name, versions in read_folder(Path(str(FOLDER))).history.items()
        for written, writer in versions.items()
        for read, reader in versions.items()
    ]

    assert len(pairs) >= len(TOPIC_OF)
    assert [] == [pair for pair, writer, reader in pairs if ours(writer=writer, reader=reader)]
    assert [] == [
        pair for pair, writer, reader in pairs if not rules.can_read(writer=writer, reader=reader)
    ]


def schema(*fields: Any) -> str:
    return json.dumps(
        {
            "type": "record", "name": "OrderPlaced", "namespace": "demo_pipeline",
            "fields": [field("id", "string"), *fields],
        }
    )  # fmt: skip


CHANGES = [*((case.before, case.after) for case in REFUSED), *ACCEPTED]


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_both_agree_on_each_kind_of_change(rules: Rules, before: Any, after: Any) -> None:
    old, new = schema(*before), schema(*after)
    for writer, reader in ((old, new), (new, old)):
        refused = ours(writer=writer, reader=reader)
        accepted = rules.can_read(writer=writer, reader=reader)

        assert accepted == only_ours(refused, writer), refused
