"""Why a broker cannot be used: its name, its port, its silence, TLS or the credentials."""

from __future__ import annotations

import re
import socket
import ssl
from typing import Final

from aiokafka import errors

from tracing.core.text import error_text

_REFUSALS: Final = (
    errors.SaslAuthenticationFailed,
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
)
_NUMBERS: Final = re.compile(r"\[Errno (\d+)\]")
_CONFIG: Final = "the file of --command-config"
# The first entry that fits counts: many errors are kinds of others.
_CAUSES: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    (_REFUSALS, f"it refuses the credentials; check those in {_CONFIG}"),
    ((socket.gaierror,), "its name cannot be resolved; check the spelling, and DNS"),
    (
        (ssl.SSLCertVerificationError,),
        (
            f"its certificate is not trusted; check ssl.ca.location in {_CONFIG}, and the name in "
            "the address"
        ),
    ),
    ((ssl.SSLError,), f"TLS fails; check whether this port uses TLS, and {_CONFIG}"),
    ((ConnectionRefusedError,), "connection refused, so nothing listens there; check the port"),
    (
        (TimeoutError, errors.KafkaTimeoutError, errors.RequestTimedOutError),
        (
            "no answer in time; a firewall may drop the packets, or it is busy, or no Kafka "
            "broker; --timeout waits longer"
        ),
    ),
    (
        (errors.KafkaConnectionError, ConnectionError),
        f"it closes the connection; this port may need TLS or SASL, as set in {_CONFIG}",
    ),
)


def is_refusal(error: Exception) -> bool:
    """Return whether a broker refused the credentials."""
    return isinstance(error, _REFUSALS)


def describe(broker: str, error: Exception) -> str:
    """Return in one line why a broker cannot be used, and what to check.

    Args:
        broker: The broker, for the reader.
        error: Why the connection, or the first request, failed.
    """
    error = _single(error)
    words = error_text(error)
    for kinds, advice in _CAUSES:
        if isinstance(error, kinds):
            return f"{broker}: {advice} ({words})"
    return f"{broker}: {words}"


def _single(error: Exception) -> Exception:
    """Return one error for those of all addresses of a name, if they are the same."""
    numbers = set(_NUMBERS.findall(str(error)))
    if isinstance(error, OSError) and error.errno is None and len(numbers) == 1:
        return OSError(int(numbers.pop()), str(error))
    return error
