"""The bucket bounds of all histograms; durations have one list, so that they can be compared.

Prometheus computes a quantile from buckets: it finds the right bucket, and takes the values in it
as spread evenly. So an estimate and the true quantile lie in one bucket, and differ by less than
its width. With the 14 bounds that the conventions advise, a constant 1.3 s and a constant 2.3 s
have the same 95th percentile, 2.4 s.

Here each bound between 5 ms and 60 s is at most 1.15 times the one below, and up to 900 s where
records, retries and sagas may have to wait for a service that is down. Any quantile in that range
is wrong by less than 15 %, whatever the distribution. Among the bounds are all that the conventions
advise: queries with these still hold, also beside services in other languages.

The bounds are explicit, because every receiver takes explicit buckets, and dashboards and alerts
read them. Exponential histograms need a receiver that stores them as native histograms, and other
queries; nothing in OTLP says what a receiver does. `python -m benchmarks.duration_buckets` measures
what each costs: these 73 bounds make 76 series of a set of labels where the advised ones make 17,
and an export twice as large; recording takes 40 ns longer.
"""

from typing import Final

DURATION_BUCKETS: Final = (
    0.005, 0.00574, 0.0066, 0.00758, 0.00871,
    0.01, 0.0114, 0.013, 0.0148, 0.017, 0.0195, 0.022, 0.025, 0.0287, 0.033, 0.0379, 0.0435,
    0.05, 0.0572, 0.0655, 0.075, 0.083, 0.091,
    0.1, 0.114, 0.13, 0.148, 0.17, 0.195, 0.22, 0.25, 0.287, 0.33, 0.379, 0.435,
    0.5, 0.572, 0.655, 0.75, 0.83, 0.91,
    1.0, 1.14, 1.3, 1.48, 1.7, 1.95, 2.2, 2.5, 2.87, 3.3, 3.79, 4.35,
    5.0, 5.72, 6.55, 7.5, 8.3, 9.1,
    10.0, 11.5, 13.2, 15.1, 17.3, 19.8, 22.7, 26.1, 30.0, 34.5, 39.6, 45.5, 52.2, 60.0,
)  # fmt: skip
"""Upper bounds in seconds, for operations and handlers: most time-outs are shorter."""

# During an outage of a quarter of an hour, quantiles are as good as on any other day.
_TO_MINUTES: Final = (
    *DURATION_BUCKETS,
    68.9, 79.1, 90.9, 104.4, 120.0, 136.8, 156.0, 178.0, 203.0, 231.0, 264.0, 300.0,
    344.0, 395.0, 454.0, 522.0, 600.0, 687.0, 786.0, 900.0,
)  # fmt: skip

LAG_BUCKETS: Final = (*_TO_MINUTES, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0)
"""To hours, when a consumer was down over night."""

RETRY_BUCKETS: Final = (*_TO_MINUTES, 1800.0)
"""To many minutes of backoff."""

ATTEMPT_BUCKETS: Final = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 50.0)
"""Numbers of attempts: each by itself up to what most services allow."""

BODY_BUCKETS: Final = tuple(float(64 << step) for step in range(19))
"""Upper bounds in bytes, from 64 to 16 MiB, each twice the one below: sizes differ by orders of
magnitude, and an estimate in the right power of two says what a message costs. 1 MiB, Kafka's own
limit (`max.request.size`, `message.max.bytes`), is one of the bounds."""

SAGA_BUCKETS: Final = (*_TO_MINUTES, 1800.0, 3600.0, 21600.0, 86400.0, 604800.0)
"""To flows that wait for people: a saga may take days."""
