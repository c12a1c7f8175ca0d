"""Invalid dead letters and options: one line of error, and no effect on other dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import ConsumerRecord

from tracing import Provenance, Telemetry
from tracing.__main__ import main
from tracing.cli.option_types import parse_moment
from tracing.core.times import age, iso_time
from tracing.dlq import Connection, Letter, replay
from tracing.dlq.documents import dead_letter_document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOST = Provenance(
    topic="orders", partition=0, offset=7, timestamp_ms=1, group="payment", exception="E",
    message="m", attempts=3, first_failed_at_ms=1, failed_at_ms=2,
)  # fmt: skip


def dead_letter(headers: list[Any]) -> Letter:
    return Letter.of(
        ConsumerRecord[Any, Any]("orders.payment.dlq", 0, 0, 1, 0, b"k", b"v", None, 1, 1, headers)
    )


@pytest.mark.parametrize("moment", [b"1000000000000000", b"9223372036854775807", b"-5"])
def test_an_impossible_time_is_unknown(moment: bytes) -> None:
    invalid = dead_letter([*LOST.headers(), ("__pipeline.errors.failed_at", moment)])

    assert "unknown" == dead_letter_document(invalid)["failed_at"]
    assert ("unknown", "unknown") == (iso_time(int(moment)), age(int(moment)))


def test_an_age_before_1970_is_the_beginning_of_1970() -> None:
    assert 0 == parse_moment("9" * 400 + "w")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--timeout", "nan"], "not a number above 0"),
        (["--timeout", "inf"], "not a number above 0"),
        (["--timeout", "0"], "not a number above 0"),
        (["--bootstrap-servers", "host:abc"], "HOST:PORT"),
        (["--bootstrap-servers", "[::1"], "HOST:PORT"),
        (["--bootstrap-servers", "host:99999"], "HOST:PORT"),
        (["--bootstrap-servers", "host:0"], "HOST:PORT"),
        (["--bootstrap-servers", "host:\u0663"], "HOST:PORT"),
        (["--bootstrap-servers", "host/path"], "HOST:PORT"),
        (["--bootstrap-servers", "user:secret@host:1"], "HOST:PORT"),
    ],
)
def test_an_invalid_option_is_reported_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    command = ["dlq", "list", "--bootstrap-servers", "127.0.0.1:1", *arguments]

    assert 2 == main(command)
    error = capsys.readouterr().err
    assert 1 == len(error.splitlines())
    assert message in error
    assert "secret" not in error


@pytest.mark.parametrize(
    ("line", "message"), [("sasl.mechanism=GSSAPI", "SCRAM-SHA-512"), ("nonsense", "name=value")]
)
def test_an_unusable_properties_file_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    file = tmp_path / "client.properties"
    file.write_text(f"security.protocol=sasl_plaintext\n{line}\n")

    assert 2 == main(
        ["dlq", "list", "--bootstrap-servers", "127.0.0.1:1", "--command-config", str(file)]
    )
    assert message in capsys.readouterr().err


@pytest.mark.kafka
@pytest.mark.integration
async def test_a_forged_dead_letter_is_not_replayed_to_the_topic_that_it_names(
    kafka_servers: str,
) -> None:
    async def forged() -> AsyncIterator[Letter]:
        yield dead_letter([("__pipeline.errors.topic", b"secrets"), *LOST.headers()[1:]])

    result = await replay(Connection(kafka_servers), forged(), Telemetry("orders"))

    assert (0, 1) == (result.sent, result.failures)
    assert "secrets" in next(iter(result.failed.values()))
