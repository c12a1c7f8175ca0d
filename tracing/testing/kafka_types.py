"""aiokafka's types, imported when first needed; structurally equal ones where it is missing."""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


@cache
def structs() -> ModuleType:
    """Return `aiokafka.structs`, or the module that stands in for it."""
    return _first_of("aiokafka.structs", "tracing.testing.fallbacks")


@cache
def errors() -> ModuleType:
    """Return `aiokafka.errors`, or the module that stands in for it."""
    return _first_of("aiokafka.errors", "tracing.testing.fallback_errors")


@cache
def interfaces() -> ModuleType:
    """Return `aiokafka.abc`, or the module that stands in for it."""
    return _first_of("aiokafka.abc", "tracing.testing.fallback_interfaces")


def _first_of(wanted: str, fallback: str) -> ModuleType:
    try:
        return importlib.import_module(wanted)
    except ImportError:
        return importlib.import_module(fallback)
