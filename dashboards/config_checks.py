"""What a configuration's types cannot say: its values have to work in queries, YAML and links."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tracing.metrics.catalog import END_TO_END_DURATION

if TYPE_CHECKING:
    from dashboards.config import Config, DataSources, Kubernetes, Objective


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the field and the mend."""


def checked(config: Config) -> Config:
    """Check all values, and give the configuration back.

    Raises:
        ConfigError: A value cannot work.
    """
    _check("prefix", config.prefix, r"[a-z][a-z0-9-]{0,19}",
           "1 to 20 lower-case letters, digits and dashes, a letter first")  # fmt: skip
    _check("title", config.title, r"[^/$]*[^/$\s][^/$]*", "some words, without / and $")
    if config.runbook_url:
        _check_url("runbook_url", config.runbook_url)
    _check_url("grafana_url", config.grafana_url)
    _check("min_step", config.min_step, r"[1-9][0-9]*[sm]", "a duration such as 15s or 1m")
    for name, labels in (("selector", config.selector), ("labels", config.labels)):
        for label, value in labels.items():
            _check(name, label, _LABEL, "the name of a label that is free to use")
            _check(f"{name}.{label}", value, _PLAIN, _PLAIN_WORDS)
    for name in ("pipelines", "sagas"):
        for number, value in enumerate(getattr(config, name)):
            _check(f"{name}[{number}]", value, r"[\w. -]+", "letters, digits, blanks, dots, dashes")
    _check_sources(config.datasources)
    _check_kubernetes(config.kubernetes)
    names = [objective.name for objective in config.objectives]
    if not names or len(names) > len(set(names)):
        raise ConfigError("objectives: at least one, each with a name of its own")
    for number, objective in enumerate(config.objectives):
        _check_objective(f"objectives[{number}]", objective)
    return config


def _check_sources(sources: DataSources) -> None:
    for name in ("prometheus", "tempo", "loki"):
        uid = getattr(sources, name)
        _check(f"datasources.{name}", uid, r"[\w.-]+", "the uid of a data source")


def _check_kubernetes(kubernetes: Kubernetes) -> None:
    if kubernetes.namespace:
        _check("kubernetes.namespace", kubernetes.namespace, _DNS_LABEL, _DNS_LABEL_WORDS)
    for label, value in kubernetes.labels.items():
        _check("kubernetes.labels", label, _KUBERNETES_LABEL, "the name of a label in Kubernetes")
        _check(f"kubernetes.labels.{label}", value, _KUBERNETES_VALUE, "the value of a label there")


def _check_objective(where: str, objective: Objective) -> None:
    _check(f"{where}.name", objective.name, _PLAIN, _PLAIN_WORDS)
    if not 0 < objective.ratio < 1:
        raise ConfigError(f"{where}.ratio: {objective.ratio:g} must lie between 0 and 1")
    if objective.at_least < 1:
        raise ConfigError(f"{where}.at_least: {objective.at_least} must be 1 or more")
    if objective.within_s not in END_TO_END_DURATION.buckets:
        bounds = ", ".join(f"{bound:g}" for bound in END_TO_END_DURATION.buckets)
        raise ConfigError(
            f"{where}.within_s: {objective.within_s:g} is no bound of a bucket; use one of {bounds}"
        )
    for name in ("pipeline", "destination", "group"):
        pattern = getattr(objective, name)
        _check(f"{where}.{name}", pattern, r'[^"\\\n]+', "without quotes and backslashes")
        _check(f"{where}.{name}", pattern, _PORTABLE, "without (? but for (?: and (?i)")
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"{where}.{name}: {pattern!r} is no regular expression: {error}"
            ) from error


_URL: Final = r"https?://[^\s#@{}]*[^\s#@{}/]"
_URL_WORDS: Final = "an http(s) address without user, # and braces, and without / at its end"
# Prometheus knows neither lookarounds nor back references; both begin so in Python.
_PORTABLE: Final = r"(?s:(?!.*\(\?(?!:|i\))).+)"
_DNS_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS_LABEL_WORDS: Final = "a name in Kubernetes: up to 63 lower-case letters, digits and dashes"
# The dashboards' own label is how they are found.
_KUBERNETES_LABEL: Final = (
    r"(?!grafana_dashboard$)([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?"
)
_KUBERNETES_VALUE: Final = r"([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?"
# Prometheus keeps the first kind to itself, and the others are those of the rules.
_LABEL: Final = r"(?!__|(?:ruleset|alertname|severity)$)[a-zA-Z_][a-zA-Z0-9_]*"
_PLAIN: Final = r'[^"\\\n${}]+'
_PLAIN_WORDS: Final = "something without quotes, backslashes, dollars and braces"


def _check_url(name: str, value: str) -> None:
    _check(name, value, _URL, _URL_WORDS)
    try:
        possible = urlsplit(value).port != 0
    except ValueError:
        possible = False
    if not possible:
        raise ConfigError(f"{name}: {value!r} must have a port that is a number up to 65535")


def _check(name: str, value: str, pattern: str, words: str) -> None:
    if not re.fullmatch(pattern, value):
        raise ConfigError(f"{name}: {value!r} must be {words}")
