"""Which of aiokafka's tests run, which are left out, and what may differ; each with its reason."""

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
"""Test modules of the public API. The others test parts of aiokafka that no wrapper touches."""

LEFT_OUT: Final = {
    "test_consumer.py::TestConsumerIntegration::test_ssl_consume": (
        "needs a listener with TLS and certificates; the project's Kafka has plaintext alone"
    ),
    "test_producer.py::TestKafkaProducerIntegration::test_producer_ssl": (
        "needs a listener with TLS and certificates; the project's Kafka has plaintext alone"
    ),
}
"""Tests that no form runs."""

_HEADERS_COUNTED: Final = "test_consumer.py::TestConsumerIntegration::test_consumer_with_headers"
_HEADERS_ADDED: Final = (
    "compares all headers of a received record; a traced send adds those of trace and event"
)

EXPECTED: Final = {
    ("wrapped", _HEADERS_COUNTED): _HEADERS_ADDED,
    ("zero-code", _HEADERS_COUNTED): _HEADERS_ADDED,
}
"""Tests that end otherwise than bare, by form and test."""

FLOOR: Final = 130
"""Tests that have to pass bare; with fewer, nothing is shown."""

SPANS: Final = 2000
"""Spans that an instrumented form has to make; with fewer, it was not the wrappers that ran."""
