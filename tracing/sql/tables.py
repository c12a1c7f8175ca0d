"""Tables that several may describe, in one metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import MetaData, Table


def described(metadata: MetaData, name: str) -> Table | None:
    """The table of a name that somebody has described in a metadata already, if anybody has."""
    return metadata.tables.get(f"{metadata.schema}.{name}" if metadata.schema else name)
