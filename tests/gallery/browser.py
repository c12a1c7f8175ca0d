"""Build the page with npm and esbuild, and take pictures of it with headless Chromium."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE: Final = Path(__file__).parent / "page"
_LOADERS: Final = ("svg", "ttf", "woff", "woff2", "png")
WIDTH_PX: Final = 1600
_HEAD_PX: Final = 48
_ROW_PX: Final = 38
_HTML: Final = """<!doctype html>
<meta charset="utf-8">
<link rel="stylesheet" href="{script}/gallery.css">
<style>
body {{ overflow: hidden }}
.empty {{ display: grid; place-items: center; height: 100%; font-size: 16px; opacity: 0.7 }}
</style>
<div id="board" style="height: {height}px"></div>
<script>window.shown = {shown}</script>
<script src="{script}/gallery.js"></script>
"""


class MissingProgramError(Exception):
    """A program that the gallery needs is not installed."""


def build_page(folder: Path) -> Path:
    """Install the pinned packages and bundle the page; return the folder with the bundle.

    Raises:
        MissingProgramError: npm is not installed.
    """
    source = folder / "page"
    shutil.copytree(_PAGE, source, dirs_exist_ok=True)
    if not (source / "node_modules").exists():
        quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
        _run([_program("npm"), "install", *quiet], source)
    bundle = folder / "bundle"
    options = [f"--loader:.{name}=dataurl" for name in _LOADERS]
    options += ['--define:process.env.NODE_ENV="production"', "--log-level=error", "--bundle"]
    esbuild = str(source / "node_modules" / ".bin" / "esbuild")
    _run([esbuild, "gallery.tsx", f"--outfile={bundle / 'gallery.js'}", *options], source)
    return bundle


def write_page(shown: dict[str, Any], bundle: Path, folder: Path, name: str) -> tuple[Path, int]:
    """Write a dashboard as HTML that needs no server; return the file and its height in pixels."""
    panels = shown["dashboard"]["panels"]
    rows = max(panel["gridPos"].get("y", 0) + panel["gridPos"]["h"] for panel in panels)
    height = _HEAD_PX + rows * _ROW_PX + 8
    # A closing tag in a text would end the script.
    data = json.dumps(shown).replace("</", "<\\/")
    page = folder / f"{name}.html"
    page.write_text(_HTML.format(height=height, script=bundle.as_uri(), shown=data))
    return page, height


def take_picture(page: Path, height: int) -> Path:
    """Take a picture of a page as a person sees it; return the PNG.

    Raises:
        MissingProgramError: Chromium is not installed.
    """
    picture = page.with_suffix(".png")
    _chromium([f"--screenshot={picture}", f"--window-size={WIDTH_PX},{height}"], page)
    return picture


def take_drawing(page: Path, height: int) -> Path:
    """Return a page as SVG text.

    Raises:
        MissingProgramError: Chromium is not installed.
    """
    drawing = page.with_suffix(".svg")
    dumped = _chromium(["--dump-dom", f"--window-size={WIDTH_PX},{height}"], page, "#drawing")
    text = re.search(r'<pre id="drawing">(.*)</pre>', dumped, re.DOTALL)
    if text is None:
        raise RuntimeError(f"{page} has no drawing: {dumped[-1000:]}")
    drawing.write_text(html.unescape(text[1]))
    return drawing


def _chromium(options: Sequence[str], page: Path, fragment: str = "") -> str:
    # Its sandbox needs rights that containers often lack; it only opens a file made here.
    common = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    waits = ["--virtual-time-budget=20000", "--enable-logging=stderr"]
    output, log = _run(
        [_program("chromium"), *common, *waits, *options, page.as_uri() + fragment], page.parent
    )
    if "gallery failed" in log:
        raise RuntimeError(log[log.index("gallery failed") :][:3000])
    return output


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingProgramError(f"{name} is not installed; Debian has it in its packages")
    return path


def _run(command: Sequence[str], folder: Path) -> tuple[str, str]:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return done.stdout, done.stderr
