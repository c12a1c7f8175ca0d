"""Errors in texts: their type and what they say, the type once."""

import pytest
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed

from tracing.core.text import error_text


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError("no disk"), "OSError: no disk"),
        (TimeoutError(), "TimeoutError"),
        (
            KafkaConnectionError("Connection at a:1 closed"),
            "KafkaConnectionError: Connection at a:1 closed",
        ),
        (
            SaslAuthenticationFailed("no such user"),
            "SaslAuthenticationFailed: no such user",
        ),
        (KeyError("OSError: 1"), "KeyError: 'OSError: 1'"),
        # A longer name that ends in the type's is another one.
        (
            ConnectionError("KafkaConnectionError: closed"),
            "ConnectionError: KafkaConnectionError: closed",
        ),
        (OSError("an OSError, or not: closed"), "OSError: an OSError, or not: closed"),
    ],
)
def test_the_type_of_an_error_is_said_once(error: Exception, expected: str) -> None:
    assert expected == error_text(error)
