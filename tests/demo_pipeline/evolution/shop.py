"""A folder with the schema of one message, and the command line on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from demo_pipeline.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NAME: Final = "OrderPlaced"


class Shop:
    """A folder of schemas with one message, `OrderPlaced`."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        folder.mkdir(parents=True)

    @property
    def ids(self) -> Any:
        """The content of `ids.json`."""
        return json.loads((self.folder / "history" / "ids.json").read_text())

    def edit(self, *fields: Any, **record: Any) -> None:
        """Write the current schema."""
        schema = {
            "type": "record", "name": NAME, "namespace": "demo_pipeline", "fields": fields,
        } | record  # fmt: skip
        (self.folder / f"{NAME}.avsc").write_text(json.dumps(schema))

    def released(self, *fields: Any, **record: Any) -> None:
        """Write the current schema and register it, whatever it changes."""
        self.edit(*fields, **record)
        code, _, error = self.run("register", "--mode", "NONE")
        assert 0 == code, error

    def run(self, command: str, *arguments: str) -> tuple[int, str, str]:
        """Run a command on the message; return exit code, output and errors."""
        code = main(["schemas", command, NAME, "--folder", str(self.folder), *arguments])
        out, err = self._capsys.readouterr()
        return code, out, err

    def findings(self, *arguments: str) -> list[dict[str, Any]]:
        """Return what `schemas check` finds."""
        code, out, _ = self.run("check", "--json", *arguments)
        findings: list[dict[str, Any]] = json.loads(out)["findings"]
        assert bool(findings) == bool(code)
        return findings
