"""The picture of the README shows a waterfall, and loads nothing from elsewhere."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from tests.docs.pages import README, ROOT
from tests.docs.picture import PICTURE, drawn, waterfall_of


def test_the_waterfall_is_cut_out_of_what_the_demo_prints_and_drawn() -> None:
    printed = "hops\n\x1b[1mspan   \x1b[0mservice\nPOST /orders orders \x1b[34m─\x1b[0m\n\nsagas\n"

    svg = drawn(waterfall_of(printed))

    text = "".join(ET.fromstring(svg).itertext())  # noqa: S314 - our own picture
    assert "hops" not in text
    assert "sagas" not in text
    assert "POST" in text
    assert "─" in text
    assert "http" not in svg.replace("http://www.w3.org/", "")


def test_the_picture_of_the_readme_exists_and_is_of_that_kind() -> None:
    path = re.findall(r"^!\[.*?\]\((.*?)\)$", README.read_text(), re.MULTILINE)[0]

    assert ROOT / path == PICTURE
    svg = PICTURE.read_text()
    ET.fromstring(svg)  # noqa: S314 - our own picture
    assert "http" not in svg.replace("http://www.w3.org/", "")
