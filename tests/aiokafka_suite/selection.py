"""The tests of aiokafka that run, that are skipped and that may differ, with reasons."""

from __future__ import annotations

from typing import Final

MODULES: Final = (
    "test_admin.py",
    "test_consumer.py",
    "test_message_accumulator.py",
    "test_pep492.py",
    "test_producer.py",
    "test_transactional_consumer.py",
    "test_transactional_producer.py",
)
"""Test modules of the public API. The other modules test internals that no wrapper touches."""

SKIPPED: Final = {
    "test_consumer.py::TestConsumerIntegration::test_ssl_consume": (
        "needs a listener with TLS and certificates; the project's Kafka has plaintext alone"
    ),
    "test_producer.py::TestKafkaProducerIntegration::test_producer_ssl": (
        "needs a listener with TLS and certificates; the project's Kafka has plaintext alone"
    ),
}
"""Tests that run in no form."""

_HEADERS_COUNTED: Final = "test_consumer.py::TestConsumerIntegration::test_consumer_with_headers"
_HEADERS_ADDED: Final = (
    "compares all headers of a received record; a traced send adds headers for trace and event"
)

EXPECTED: Final = {
    ("wrapped", _HEADERS_COUNTED): _HEADERS_ADDED,
    ("zero-code", _HEADERS_COUNTED): _HEADERS_ADDED,
}
"""Reasons why a test may end differently than with bare clients, by form and test."""

MIN_PASSED: Final = 130
"""The lowest number of tests that pass bare; with fewer, the comparison proves nothing."""

MIN_SPANS: Final = 2000
"""The lowest number of spans of an instrumented form; with fewer, the wrappers did not run."""
