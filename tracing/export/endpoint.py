"""Whether the OTLP endpoint that the environment names can be one, found out before any export.

The exporters take anything, and would fail at each export, in a thread and in many lines.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMES: Final[Mapping[str, frozenset[str]]] = {
    "http/protobuf": frozenset({"http", "https"}),
    # gRPC takes an address without a scheme as well, and its own resolvers.
    "grpc": frozenset({"http", "https", "dns", "unix", "ipv4", "ipv6"}),
}
_BARE: Final = re.compile(r"(?!https?:|[a-z0-9]+:/)[^\s/]+", re.IGNORECASE)


def check_endpoint(signal: str, protocol: str) -> None:
    """Check the endpoint of a signal; it is fine where none is named, as there is a default.

    Args:
        signal: `traces`, `metrics` or `logs`.
        protocol: `http/protobuf` or `grpc`.

    Raises:
        ValueError: It is no address. The message names the variable, and never its value, which
            may hold a password.
    """
    for name in (
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ):
        endpoint = os.environ.get(name, "")
        if endpoint:
            _check(name, endpoint.strip(), protocol)
            return


def _check(name: str, endpoint: str, protocol: str) -> None:
    bare = protocol == "grpc" and _BARE.fullmatch(endpoint) is not None
    try:
        found = urlsplit(f"//{endpoint}" if bare else endpoint)
        port = found.port
    except ValueError as error:
        raise ValueError(f"{name} is no address: {_without_text(error)}") from None
    if port == 0:
        raise ValueError(f"{name} is no address: there is no port 0")
    schemes = _SCHEMES[protocol]
    if not bare and (
        found.scheme not in schemes or (found.scheme in {"http", "https"} and not found.hostname)
    ):
        raise ValueError(
            f"{name} is no address: it has to be like http://localhost:4318, with http:// or "
            "https:// and a host"
        )


def _without_text(error: ValueError) -> str:
    """What is wrong with an address, without the part of it that the parser repeats."""
    return "its port has to be a number up to 65535" if "ort" in str(error) else "it cannot be read"
