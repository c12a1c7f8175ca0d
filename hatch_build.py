"""Build hook: a README with absolute links, as a package index has no files of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from hatchling.metadata.plugin.interface import MetadataHookInterface

# Code comes first, so that what looks like a link in it is left alone.
_CODE_OR_LINK: Final = re.compile(
    r"^```.*?^```$|`[^`\n]*`"
    r"|(?P<shown>!?\[[^\]]*\])\((?P<target>(?![a-z+.-]+:|#)[^)\s]+)\)",
    re.MULTILINE | re.DOTALL,
)


class ReadmeHook(MetadataHookInterface):
    """Takes the description from README.md, with the links made absolute."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `readme`, of the project's metadata."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_absolute_links(text, metadata["urls"]["Source"]),
        }


def with_absolute_links(text: str, repository: str) -> str:
    """Return a page whose links and images lead to the main branch of a repository on GitHub."""

    def absolute(link: re.Match[str]) -> str:
        if link["target"] is None:
            return link[0]
        kind = "raw" if link["shown"].startswith("!") else "blob"
        return f"{link['shown']}({repository}/{kind}/main/{link['target']})"

    return _CODE_OR_LINK.sub(absolute, text)
