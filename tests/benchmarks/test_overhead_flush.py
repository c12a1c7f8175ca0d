"""What the benchmark counts as a message's: all that it leaves to be done, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]

_COUNT_COLLECTIONS = """
from benchmarks.null_export import NullMetricExporter
from benchmarks.overhead.instrumentation import instrumented
from benchmarks.overhead.rows import Variant

collections = []
discard = NullMetricExporter.export
NullMetricExporter.export = lambda *args, **options: collections.append(1) or discard(*args)
instrumentation = instrumented(Variant(instrumentation="ours"))
instrumentation.flush()
instrumentation.flush()
print(len(collections))
instrumentation.verify()
print(len(collections))
"""


def test_what_is_flushed_for_messages_is_no_collection_of_the_metrics_but_the_check_is() -> None:
    # A fresh interpreter, because it sets globals.
    printed = subprocess.run(
        [sys.executable, "-c", _COUNT_COLLECTIONS],
        check=True,
        capture_output=True,
        text=True,
        cwd=_ROOT,
    ).stdout

    assert ["0", "1"] == printed.split()
