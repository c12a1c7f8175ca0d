"""The measured costs of the instrumentation, and the ratios and shares derived from them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to run the clients."""

    library: str
    sampled: bool = False
    exported: bool = False
    metrics: bool = True

    @property
    def name(self) -> str:
        """Its name in the table."""
        if self.library == "bare":
            return "bare aiokafka"
        sampling = "all sampled" if self.sampled else "none sampled"
        encoded = ", OTLP encoded" if self.exported else ""
        return f"{self.library}, {sampling}{encoded}{'' if self.metrics else ', no metrics'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of one message: CPU µs, and messages per second."""

    send_us: float
    send_rate: float
    receive_us: float
    receive_rate: float


VARIANTS: Final = (
    Variant(library="bare"),
    *(
        Variant(library=library, sampled=sampled, exported=exported)
        for (sampled, exported), library in product(
            ((True, False), (True, True), (False, False)), ("ours", "official")
        )
    ),
    Variant(library="ours", sampled=True, metrics=False),
    Variant(library="ours", metrics=False),
)


def medians(costs: Sequence[Cost]) -> Cost:
    """Return the median of every field."""
    fields = Cost.__dataclass_fields__
    return Cost(
        **{field: statistics.median(getattr(cost, field) for cost in costs) for field in fields}
    )


def ratios_of(results: Mapping[Variant, Cost]) -> dict[str, dict[str, float]]:
    """Divide the cost that ours adds by the cost that the official instrumentation adds."""
    bare = results[VARIANTS[0]]
    ratios = {}
    for variant, ours in results.items():
        if variant.library != "ours" or not variant.metrics:
            continue
        official = results[
            Variant(library="official", sampled=variant.sampled, exported=variant.exported)
        ]
        send = (ours.send_us - bare.send_us, official.send_us - bare.send_us)
        receive = (ours.receive_us - bare.receive_us, official.receive_us - bare.receive_us)
        ratios[variant.name.removeprefix("ours, ")] = {
            "send": send[0] / send[1],
            "receive": receive[0] / receive[1],
            "both": (send[0] + receive[0]) / (send[1] + receive[1]),
        }
    return ratios


def shares_of(results: Mapping[Variant, Cost]) -> dict[str, dict[str, float]]:
    """Split the cost that ours adds with all sampled, in CPU µs per message, by its cause."""
    bare = results[VARIANTS[0]]
    whole = results[Variant(library="ours", sampled=True)]
    unsampled = results[Variant(library="ours")]
    no_metrics = results[Variant(library="ours", metrics=False)]
    return {
        part: {"send": more.send_us - less.send_us, "receive": more.receive_us - less.receive_us}
        for part, more, less in (
            ("spans", whole, unsampled),
            ("metrics", unsampled, no_metrics),
            ("context and headers", no_metrics, bare),
        )
    }
