"""Studio's pages in a real browser: Chromium, driven by Playwright."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright

CHROMIUM = os.environ.get("HELIOSTAT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
SHOTS = os.environ.get("HELIOSTAT_SCREENSHOTS")
"""A directory that takes pictures of the pages."""
PATIENCE = 60_000
"""Milliseconds until a test gives up waiting."""
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 780}

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def chromium() -> tuple[str, ...]:
    """The program and its arguments."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium, or name one in HELIOSTAT_CHROMIUM")
    return (CHROMIUM, *FLAGS)


@pytest.fixture(scope="module")
def browser(chromium: tuple[str, ...]) -> Iterator[Browser]:
    """Not for the whole session: Playwright's loop would be in the way of asynchronous tests."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium[0], args=list(chromium[1:]))
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def contexts(browser: Browser) -> Callable[..., BrowserContext]:
    """Browsers as different people have them: those who have the same share what was loaded, which costs much."""
    opened: dict[str, BrowserContext] = {}

    def context(*, phone: bool = False, dark: bool = False, **more: Any) -> BrowserContext:
        key = repr((phone, dark, more))
        if key not in opened:
            opened[key] = browser.new_context(
                viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]
                color_scheme="dark" if dark else "light",
                **more,
            )
            opened[key].set_default_timeout(PATIENCE)
        return opened[key]

    return context


class Visit:
    """A page, with nothing in its console that should not be there."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._url = url
        self.context = context
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def go(self, path: str) -> Visit:
        self.page.goto(f"{self._url}{path}")
        return self

    def shoot(self, name: str) -> None:
        """A picture of the whole page, for somebody to look at."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.wait_for_timeout(700)  # until dialogs have come and canvases are drawn, for the picture alone
            self.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)

    def stat(self, name: str) -> Locator:
        return self.page.locator(f"[data-stat='{name}']")

    def chunks(self, state: str) -> Locator:
        """The legend of the map, which says how many chunks are in a state."""
        return self.page.locator(f"[data-state='{state}']")

    @property
    def map(self) -> Locator:
        """The map of chunks, once something is drawn there."""
        expect(self.page.locator("canvas[data-cells]").first).not_to_have_attribute("data-cells", "0")
        return self.page.locator("canvas").first

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def numbers(self) -> dict[str, str]:
        """What the page says of a job."""
        found = {name: self.stat(name).inner_text() for name in ("Chunks", "Attempts", "Retries", "Failures")}
        return found | {
            "percent": self.page.locator("#percent").inner_text(),
            "frames": self.page.locator("#frames").inner_text(),
            "state": self.page.locator("#state").inner_text(),
        }

    @property
    def overhang(self) -> int:
        """Pixels that a visitor could scroll sideways."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return width

    def no_complaints(self) -> None:
        """Nothing in the console; what is there is forgotten."""
        complaints, self.complaints = self.complaints, []
        assert complaints == []


@pytest.fixture
def visit(contexts: Callable[..., BrowserContext]) -> Iterator[Callable[..., Visit]]:
    """Opens pages; in the end none of them may have had anything to complain about."""
    visits: list[Visit] = []

    def open_page(url: str, path: str, **how: Any) -> Visit:
        visits.append(Visit(contexts(**how), url))
        return visits[-1].go(path)

    yield open_page
    for one in visits:
        one.page.close()
        one.context.clear_cookies()
    for one in visits:
        one.no_complaints()


@pytest.fixture
def show() -> Callable[[Path, str], Any]:
    """What `heliostat show --json` says of a job in a database."""

    def run(db: Path, job_id: str) -> Any:
        said = subprocess.run(
            [sys.executable, "-m", "heliostat", "show", "--json", "--db", str(db), job_id],
            env={**os.environ, "HELIOSTAT_PLUGINS": ""},
            check=True,
            capture_output=True,
        )
        return json.loads(said.stdout)

    return run
