"""The messages that the troubleshooting page explains are those that the code gives."""

from __future__ import annotations

import ast
import re

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "guides" / "troubleshooting.md"
NOT_OURS = {
    "ImportError: cannot import name '…' from 'tracing' (…/tracing.py)",
    "KafkaConnectionError: Unable to bootstrap",
    "Missing option '--bootstrap-servers'",
    "No module named dashboards",
    "No module named 'examples'",
}


def _texts() -> str:
    """Return all texts of the library, those of f-strings without their values."""
    return "\n".join(
        node.value
        for path in (ROOT / "tracing").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def test_every_symptom_is_a_message_of_the_library() -> None:
    symptoms = re.findall(r"^\*\*`(.*?)`\*\*", PAGE.read_text(), re.MULTILINE)
    texts = _texts()

    assert len(symptoms) > 5
    assert [] == [
        symptom
        for symptom in symptoms
        if symptom not in NOT_OURS and symptom.partition(" HOST:PORT")[0] not in texts
    ]
