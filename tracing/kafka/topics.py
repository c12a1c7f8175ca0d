"""What Kafka takes for the name of a topic."""

from __future__ import annotations

import re
from typing import Final

MAX_TOPIC: Final = 249
"""Characters of the longest name."""

_name = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_TOPIC}}}").fullmatch


def is_topic_name(name: str) -> bool:
    """Whether a topic can have this name."""
    return _name(name) is not None and name not in {".", ".."}
