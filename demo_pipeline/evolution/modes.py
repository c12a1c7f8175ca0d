"""What has to stay readable: the compatibility modes, by the names that schema registries use."""

from __future__ import annotations

from enum import StrEnum


class Direction(StrEnum):
    """Who reads what.

    A new reader of old records is `BACKWARD`, an old reader of new records is `FORWARD`.
    """

    BACKWARD = "backward"
    FORWARD = "forward"


class Mode(StrEnum):
    """Which readers must be able to read which records.

    Without `_TRANSITIVE`, only the newest of the earlier versions counts. Topics keep records of
    every version, and services are upgraded in any order, so `FULL_TRANSITIVE` is the default.
    """

    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"
    NONE = "NONE"

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that this mode checks."""
        name = self.value.removesuffix("_TRANSITIVE")
        if name == "NONE":
            return ()
        return tuple(Direction) if name == "FULL" else (Direction(name.lower()),)

    @property
    def transitive(self) -> bool:
        """Whether all earlier versions count, and not only the newest."""
        return self.value.endswith("_TRANSITIVE")
