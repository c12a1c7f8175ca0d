"""Log levels: the data of records and statements is never logged unless asked for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from sqlalchemy import text

from demo_pipeline.app.logs import LogLevels, console_logs, parse_log_levels
from demo_pipeline.runtime.database import open_database
from demo_pipeline.services import SERVICES

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS = ("aiokafka.producer.producer", "aiosqlite", "sqlalchemy.engine", "httpcore", "asyncio")


def _logged(levels: LogLevels, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Return the names and levels of the loggers whose lines were output."""
    with console_logs(levels):
        for name in ("demo_pipeline.orders", "tracing", *_OTHERS):
            for level in (logging.DEBUG, logging.INFO):
                logging.getLogger(name).log(level, "said")
    return {line.removesuffix(": said") for line in capsys.readouterr().err.splitlines()}


def test_debug_is_for_our_own_loggers_and_info_for_all_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logged = _logged(parse_log_levels(["debug"]), capsys)
    assert {"DEBUG demo_pipeline.orders", "DEBUG tracing", "INFO aiokafka.producer.producer"} <= (
        logged
    )
    assert set() == {line for line in logged if line.startswith("DEBUG")} - {
        "DEBUG demo_pipeline.orders",
        "DEBUG tracing",
    }


def test_a_logger_named_in_the_options_logs_at_its_own_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logged = _logged(parse_log_levels(["error", "aiokafka=DEBUG"]), capsys)
    assert {"DEBUG aiokafka.producer.producer", "INFO aiokafka.producer.producer"} == logged


def test_all_levels_are_restored_afterwards() -> None:
    names = ("", "demo_pipeline", "tracing", "aiokafka", "opentelemetry.exporter")
    before = [logging.getLogger(name).level for name in names]
    with console_logs(parse_log_levels(["debug", "aiokafka=debug"])):
        pass
    assert before == [logging.getLogger(name).level for name in names]


async def test_stored_data_is_in_no_log_line_and_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/orders.sqlite3"
    with console_logs(parse_log_levels(["debug"])):
        async with open_database(SERVICES["orders"], url) as database:
            async with database.begin() as connection:
                await connection.execute(text("SELECT :card"), {"card": "card-secret"})
            with pytest.raises(Exception, match="no such table") as raised:
                async with database.begin() as connection:
                    await connection.execute(text("SELECT :card FROM t"), {"card": "card-secret"})
    assert "card-secret" not in capsys.readouterr().err
    assert "card-secret" not in str(raised.value)


@pytest.mark.parametrize("handled", [False, True])
def test_text_from_an_event_cannot_break_a_log_line(
    capsys: pytest.CaptureFixture[str], handled: bool
) -> None:
    forged = "o-1\nERROR forged \x1b[2J\x9b\x85\u2028\u202e\ud800"

    with console_logs(LogLevels()):
        span = trace.NonRecordingSpan(trace.SpanContext(1, 1, is_remote=False))
        with trace.use_span(span if handled else trace.INVALID_SPAN):
            logging.getLogger("demo_pipeline.payment").warning("order %s is done", forged)

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("WARNING demo_pipeline.payment: order o-1\\nERROR forged \\x1b[2J\\x9b")
    assert line.isprintable()
    assert handled == line.endswith("event ]")


def test_text_from_an_error_cannot_break_the_lines_of_its_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console_logs(LogLevels()):
        error = ValueError("no order \x1b[2J\x9b\r\u202e")
        logging.getLogger("demo_pipeline.payment").error("it failed", exc_info=error)

    lines = capsys.readouterr().err.split("\n")
    assert [
        "ERROR demo_pipeline.payment: it failed",
        "ValueError: no order \\x1b[2J\\x9b\\r\\u202e",
        "",
    ] == lines
    assert all(line.isprintable() for line in lines)
