"""The library's ordinary log lines never raise, name their function, and contain no raw text."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tracing.core.log import EventLog, described, origin_of, warn_once

if TYPE_CHECKING:
    from collections.abc import Iterator


class BrokenHandler(logging.Handler):
    def handle(self, record: logging.LogRecord) -> bool:
        raise ZeroDivisionError


class BrokenFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        raise ZeroDivisionError


@pytest.fixture(params=["handler", "filter"])
def broken_logging(request: pytest.FixtureRequest) -> Iterator[logging.Handler]:
    handler: logging.Handler = BrokenHandler()
    if request.param == "filter":
        handler = logging.StreamHandler()
        handler.addFilter(BrokenFilter())
    logger = logging.getLogger("tracing")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_a_handler_or_filter_that_raises_does_not_hurt(broken_logging: logging.Handler) -> None:
    EventLog("tracing").warning("a line")
    EventLog("tracing").info("a line for %s", "a reader", extra={"topic": "orders"})
    warn_once(f"a warning {uuid4()}", error=ValueError())


def test_a_line_that_does_not_fit_its_arguments_does_not_hurt() -> None:
    class Untold:
        def __str__(self) -> str:
            raise ZeroDivisionError

    EventLog("tracing").warning("a line for %s", Untold())


def test_arguments_and_fields_are_escaped_and_cut(caplog: pytest.LogCaptureFixture) -> None:
    EventLog("tracing").warning("topic %s", "a\nb", extra={"topic": "c\x1bd", "long": "x" * 999})

    (record,) = caplog.records
    assert "topic a\\nb" == record.message
    assert "c\\x1bd" == record.__dict__["topic"]
    assert 256 == len(record.__dict__["long"])


def test_a_line_names_the_function_that_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    EventLog("tracing").warning("a line")
    warn_once(f"a warning {uuid4()}")

    assert [test_a_line_names_the_function_that_logs_it.__name__] * 2 == [
        record.funcName for record in caplog.records
    ]


def test_a_line_is_logged_even_if_the_applications_record_factory_has_the_same_fields(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory = logging.getLogRecordFactory()

    def with_topic(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        record.topic = "mine"
        return record

    logging.setLogRecordFactory(with_topic)
    try:
        EventLog("tracing").warning("a line", extra={"topic": "orders", "offset": 7})
    finally:
        logging.setLogRecordFactory(factory)

    assert ["a line"] == caplog.messages
    assert "mine" == caplog.records[0].__dict__["topic"]
    assert 7 == caplog.records[0].__dict__["offset"]


def test_a_handler_that_raises_a_key_error_does_not_log_the_line_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Picky(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise KeyError(record.name)

    root, picky = logging.getLogger(), Picky()
    root.addHandler(picky)
    try:
        EventLog("tracing").warning("a line", extra={"topic": "orders"})
    finally:
        root.removeHandler(picky)

    assert ["a line"] == caplog.messages


def failing(message: str) -> Exception:
    try:
        raise ValueError(message)  # noqa: TRY301 - for its traceback
    except ValueError as error:
        return error


def test_an_error_is_described_without_its_message_or_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = failing("card 4111")
    error.__context__ = failing("card 4222")

    warn_once(f"a fault {uuid4()}", error=error)

    assert described(error).startswith("ValueError < test_current.py:")
    assert origin_of(error).endswith("in failing")
    assert "" == origin_of(ValueError())
    assert "in failing" in caplog.text
    assert "card" not in caplog.text


def reading(text: str) -> Exception:
    try:
        json.loads(text)
    except ValueError as error:
        return error
    raise AssertionError(text)


def test_an_error_of_a_library_comes_from_the_application_that_called_it() -> None:
    error = reading("no JSON")

    assert re.fullmatch(r"test_current\.py:\d+ in reading", origin_of(error))
    # Where no frame of an application is left, the last one is better than none.
    assert error.__traceback__ is not None
    inside = error.with_traceback(error.__traceback__.tb_next)
    assert re.fullmatch(r"decoder\.py:\d+ in raw_decode", origin_of(inside))
