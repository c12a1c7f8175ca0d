"""The examples of the guide, which are tested as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

_GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "dashboards.md"


def guide_block(begins: str) -> str:
    """Return the text of the fenced YAML block that has a line with that beginning."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", _GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    (block,) = (each for each in blocks if re.search(f"^{begins}", each, re.MULTILINE))
    return str(block)
