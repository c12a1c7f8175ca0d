"""The session of an exporter reads its environment as `requests` does, and once."""

from __future__ import annotations

from typing import Any, Final

import pytest
import requests

from tracing.export.session import ExportSession

URL: Final = "http://collector.example:4318/v1/traces"
Asked = tuple[Any, Any, Any, Any]
PLAIN: Final[Asked] = ({}, None, None, None)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"http_proxy": "http://proxy.example:3128"},
        {"http_proxy": "http://proxy.example:3128", "no_proxy": "collector.example"},
        {"REQUESTS_CA_BUNDLE": "/etc/bundle.pem"},
    ],
)
@pytest.mark.parametrize(
    "asked", [PLAIN, ({"http": "http://own.example"}, True, "/own.pem", "/cert.pem")]
)
def test_the_environment_counts_as_with_any_session(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], asked: Asked
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    proxies, *others = asked
    expected = requests.Session().merge_environment_settings(URL, {**proxies}, *others)
    session = ExportSession("traces")

    for _ in range(2):
        assert expected == session.merge_environment_settings(URL, {**proxies}, *others)


def test_it_is_read_once_for_all_requests_to_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    session = ExportSession("traces")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    first = session.merge_environment_settings(URL, *PLAIN)
    first["proxies"]["http"] = "http://changed.example"
    monkeypatch.setenv("http_proxy", "http://later.example:3128")

    settings = session.merge_environment_settings(URL, *PLAIN)
    elsewhere = session.merge_environment_settings("http://other.example/v1/traces", *PLAIN)
    assert "http://proxy.example:3128" == settings["proxies"]["http"]
    assert "http://later.example:3128" == elsewhere["proxies"]["http"]
