"""A page in real Chromium: ONNX Runtime Web comes from the npm registry, everything else from memory."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

HOME = "http://localhost/"
"""Where a page is served; nothing listens there, the browser's requests are answered by `answer`."""
SCRIPT = re.compile(r'<script src="(https://[^"]*/(onnxruntime-web)@([\d.]+)/dist/)[^"]*"')
TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
RUNTIME = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""The part of the npm package that runs a model on a CPU."""


def missing(what: str) -> None:
    """Skip for want of a tool; in CI, fail."""
    if "CI" in os.environ:
        pytest.fail(what)
    pytest.skip(what)


def chromium() -> str:
    """The system's Chromium or Playwright's own."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found:
        return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    if not Path(own).exists():
        missing("no browser: apt-get install chromium, or playwright install chromium")
    return own


@contextmanager
def launched(*arguments: str) -> Iterator[Browser]:
    """Headless Chromium."""
    executable = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", *arguments],
        )
        yield browser
        browser.close()


def runtime(html: str, folder: Path) -> dict[str, bytes]:
    """The files of ONNX Runtime Web, of the version and by the URLs that a page asks for.

    Args:
        html: The page.
        folder: Where the npm package (33 MB) may lie meanwhile.
    """
    found = SCRIPT.search(html)
    assert found, "the page loads no onnxruntime-web"
    address, package, version = found.groups()
    if shutil.which("npm") is None:
        missing("no npm: apt-get install npm")
    command = ["npm", "pack", "--silent", f"{package}@{version}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        missing(f"npm cannot fetch {package}: {done.stderr}")
    packed = folder / f"{package}-{version}.tgz"
    with tarfile.open(packed) as archive:
        parts = {name: archive.extractfile(f"package/dist/{name}") for name in RUNTIME}
        files = {address + name: part.read() for name, part in parts.items() if part is not None}
    packed.unlink()
    return files


@contextmanager
def opened(browser: Browser, html: str, files: Mapping[str, bytes]) -> Iterator[Page]:
    """A page, and what it may load by URL (relative to the page, or absolute); at the end no request was refused."""
    bodies = {urljoin(HOME, name): body for name, body in files.items()} | {HOME: html.encode()}
    refused: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    context.route("**/*", lambda route: answer(route, bodies, refused))
    page.set_default_timeout(60_000)
    page.goto(HOME)
    yield page
    context.close()
    assert (refused, errors) == ([], [])


def choose(page: Page, picture: Path) -> dict[str, float]:
    """The scores that the page of a card shows for a file, by label."""
    page.locator("#file").set_input_files(picture)
    page.wait_for_function("document.getElementById('result').textContent")
    scores: dict[str, float] = json.loads(page.locator("#result").inner_text())
    return scores


def answer(route: Route, bodies: Mapping[str, bytes], refused: list[str]) -> None:
    """One request of the browser, answered from memory as a CDN or the Hub would: any site may read it."""
    url = route.request.url
    if url not in bodies:
        refused.append(url)
        return route.abort()
    kind = TYPES.get(Path(url).suffix, "text/html" if url == HOME else "application/octet-stream")
    return route.fulfill(body=bodies[url], content_type=kind, headers={"Access-Control-Allow-Origin": "*"})
