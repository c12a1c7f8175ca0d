"""Time of a keystroke in the report's search, in Chromium.

python -m benchmarks.report_search                  a page of 1,000 orders with 36 spans each
python -m benchmarks.report_search --orders 200
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from demo_pipeline.report import write_report
from tests.browser.chromium import new_page, running_chromium
from tests.demo_pipeline.report.recording import Recorder

ROUNDS = 7
QUERIES = (
    "o",
    "or",
    "ord",
    "order-9",
    "order-99",
    "type:",
    "type:p",
    "payment",
    "state:failed",
    "",
)
# The event itself, and the refresh after the pause in typing; the page has both names.
MEASURE = """async (text) => {
  const search = document.getElementById("search");
  search.value = text;
  const before = performance.now();
  search.dispatchEvent(new Event("input"));
  const typed = performance.now() - before;
  clearTimeout(waiting);
  const began = performance.now();
  searchNow();
  // Forces styles and layout.
  document.body.getBoundingClientRect();
  return [typed, performance.now() - began];
}"""


def main() -> None:
    """Print how long some keystrokes take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1000)
    orders: int = parser.parse_args().orders
    recorder = Recorder()
    for number in range(orders):
        for part in range(3):
            recorder.order(f"order-{number}", number * 10 + part, slow=number % 50)
    with tempfile.TemporaryDirectory() as folder, running_chromium() as browser:
        write_report(
            recorder.result(*(f"order-{number}" for number in range(orders))), Path(folder)
        )
        with new_page(browser) as page:
            page.goto((Path(folder) / "report.html").as_uri())
            page.wait_for_timeout(1000)
            rounds = [[page.evaluate(MEASURE, query) for query in QUERIES] for _ in range(ROUNDS)]
    # The best round of each query: the others also measure what else the machine does.
    best = [
        [min(times) for times in zip(*of_query, strict=True)]
        for of_query in zip(*rounds, strict=True)
    ]
    for name, values in zip(("keystroke", "refresh"), zip(*best, strict=True), strict=True):
        print(f"{name}: median {statistics.median(values):.1f} ms, longest {max(values):.1f} ms")


if __name__ == "__main__":
    main()
