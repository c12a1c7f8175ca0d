"""Questions at the terminal: Ctrl-C ends the command, also where a loop is running."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import click
import pytest

from tracing.cli.dlq_state import Again, ask_again
from tracing.cli.terminal import ask, confirm

if TYPE_CHECKING:
    from collections.abc import Callable

QUESTIONS: dict[str, Callable[[], None]] = {
    "ask": lambda: ask("Edit again?"),
    "confirm": lambda: confirm("Delete all?", yes=False),
    "ask again": lambda: ask_again(Again(replayed=1), yes=False),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_ctrl_c_at_a_question_ends_the_command_at_once(
    question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_prompt: str) -> str:
        signal.raise_signal(signal.SIGINT)
        return "y"

    async def work() -> None:
        # The loop handles SIGINT: it cancels the task.
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        before = signal.getsignal(signal.SIGINT)
        try:
            QUESTIONS[question]()
        finally:
            assert before is signal.getsignal(signal.SIGINT)

    monkeypatch.setattr("click.termui.visible_prompt_func", interrupted)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)

    with pytest.raises(click.Abort):
        asyncio.run(work())


@pytest.mark.parametrize(("answer", "goes_on"), [("y", True), ("n", False), ("", False)])
def test_only_yes_goes_on(answer: str, *, goes_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: answer)

    if goes_on:
        ask("Delete all?")
        return
    with pytest.raises(click.Abort):
        ask("Delete all?")
