"""The functions and operators of PromQL, with the kinds of values that they take."""

from __future__ import annotations

from typing import Final

SCALAR: Final = "s"
TEXT: Final = "t"
VECTOR: Final = "v"
RANGE: Final = "m"
"""The kinds of values; a signature is a regular expression of them."""
KINDS: Final = {SCALAR: "one number", TEXT: "a text", VECTOR: "series", RANGE: "a range of series"}

FUNCTIONS: Final = {
    name: signature
    for signature, names in {
        "v": "abs absent acos acosh asin asinh atan atanh ceil cos cosh deg exp floor "
        "histogram_avg histogram_count histogram_sum histogram_stddev histogram_stdvar ln log10 "
        "log2 rad scalar sgn sin sinh sort sort_desc sqrt tan tanh timestamp",
        "m": "absent_over_time avg_over_time changes count_over_time delta deriv first_over_time "
        "idelta increase irate last_over_time mad_over_time max_over_time min_over_time "
        "present_over_time rate resets stddev_over_time stdvar_over_time sum_over_time "
        "ts_of_first_over_time ts_of_last_over_time ts_of_max_over_time ts_of_min_over_time",
        "v?": "day_of_month day_of_week day_of_year days_in_month hour minute month year",
        "": "end pi range start step time",
        "s": "vector",
        "vs?": "round",
        "vs": "clamp_max clamp_min",
        "vss": "clamp",
        "sv": "histogram_quantile",
        "ssv": "histogram_fraction",
        "vtss*": "histogram_quantiles",
        "sm": "quantile_over_time",
        "ms": "predict_linear",
        "ms?": "integral",
        "mss": "double_exponential_smoothing",
        "vtttt": "label_replace",
        "vttt*": "label_join",
        "vt*": "sort_by_label sort_by_label_desc",
        "vv?": "info",
    }.items()
    for name in names.split()
}
SCALARS: Final = frozenset({"end", "pi", "range", "scalar", "start", "step", "time"})
AGGREGATIONS: Final = {
    **dict.fromkeys(("avg", "count", "group", "max", "min", "stddev", "stdvar", "sum"), "v"),
    **dict.fromkeys(("bottomk", "limit_ratio", "limitk", "quantile", "topk"), "sv"),
    "count_values": "tv",
}
KEEP_LABELS: Final = frozenset({"bottomk", "limit_ratio", "limitk", "topk"})
COMPARISONS: Final = frozenset({"==", "!=", ">", "<", ">=", "<="})
SETS: Final = frozenset({"and", "or", "unless"})
LEVELS: Final = (
    frozenset({"or"}),
    frozenset({"and", "unless"}),
    COMPARISONS,
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%", "atan2"}),
)
