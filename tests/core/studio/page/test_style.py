"""What the style sheet promises: contrast by the formula of WCAG 2.2, and room for everything at any width."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from heliostat.studio import page

Visits = Callable[..., Any]

STYLE = (Path(page.__file__).parent / "style.css").read_text()
WIDTHS = (360, 390, 414, 600, 720, 721, 740, 820, 960, 961, 1024, 1080, 1081, 1280, 1600)
LONG = {"Chunks": "5,197 / 10,000 (52 %)", "Running": "1,000 of 1,000", "Elapsed": "123:45:06", "Cost": "$12,345.60"}
FULL = {
    "frames": "149,480 of 150,000 frames",
    "rate": "1,234 frames/s",
    "eta": "12:34:56",
    "worker": "kubernetes",
    "cost": "$1,234.50",
    "age": "59 min ago",
}
SAY = "(shown, text) => { shown.textContent = text; shown.classList.remove('none'); }"
OVERLAPS = """() => {
  const text = (shown) => {
    const range = document.createRange();
    range.selectNodeContents(shown);
    return range.getBoundingClientRect();
  };
  const all = [...document.querySelectorAll(".stats dd")], found = [];
  for (const one of all)
    for (const other of all) {
      const a = text(one), b = other.getBoundingClientRect();
      const isBeside = a.top < b.bottom && b.top < a.bottom && a.left < b.left;
      if (one !== other && isBeside && a.right > b.left - 4) found.push(`${one.innerText} | ${other.innerText}`);
    }
  return found;
}"""
"""Texts that run into what is beside them, or nearly so."""


def colours(theme: str) -> dict[str, str]:
    """By name. What the dark theme does not say is as it is in the light one."""
    light, dark = re.search(r":root {(.*?)}.*?body--dark {(.*?)}", STYLE, re.DOTALL).groups()  # type: ignore[union-attr]
    said = light if theme == "light" else light + dark
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", said))


def contrast(one: str, other: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_states_are_told_apart_by_lightness_alone(theme: str) -> None:
    has = colours(theme)
    assert contrast(has["failed"], has["succeeded"]) >= 2
    for state in ("failed", "succeeded"):
        for ground in ("surface", "sunken"):
            assert contrast(has[state], has[ground]) >= 3
    for one, other in itertools.combinations(("pending", "running", "succeeded", "failed", "cancelled"), 2):
        assert contrast(has[one], has[other]) >= 1.25, (one, other)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("on-succeeded", "succeeded"),
        ("on-failed", "failed"),
        ("failed", "surface"),
        ("quiet", "surface"),
        ("quiet", "sunken"),
    ],
)
def test_texts_can_be_read(theme: str, text: str, ground: str) -> None:
    has = colours(theme)
    assert contrast(has[text], has[ground]) >= 4.5


def test_no_figure_runs_into_its_neighbour_at_any_width(studio: Any, jobs: Any, visit: Visits) -> None:
    jobs.submit("figures")
    here = visit(studio.url, "/jobs/figures")
    expect(here.page.locator("#state")).to_have_text("completed")
    for name, text in LONG.items():
        here.stat(name).evaluate(SAY, text)
    for width in WIDTHS:
        here.page.set_viewport_size({"width": width, "height": 900})
        assert here.page.evaluate(OVERLAPS) == [], width
        assert here.stat("Chunks").evaluate("shown => shown.clientHeight") < 30, width  # in one line
        assert here.overhang == 0, width


def test_a_name_in_the_list_has_room_at_any_width(studio: Any, jobs: Any, visit: Visits) -> None:
    jobs.submit("roomy", name="Roomy titles of a film that goes on for quite a while, the second cut")
    jobs.until("roomy", "completed")
    here = visit(studio.url, "/?name=roomy")
    row = here.page.locator("[data-job='roomy']")
    expect(row.locator(".pill")).to_have_text("completed")
    for name, text in FULL.items():
        row.locator(f".{name}").evaluate(SAY, text)
    for width in WIDTHS:
        here.page.set_viewport_size({"width": width, "height": 900})
        assert row.locator(".name a").evaluate("name => name.clientWidth") >= 136, width
        assert here.overhang == 0, width


def test_a_long_error_leaves_room_for_the_rest_and_is_scrolled_by_keyboard(
    studio: Any, jobs: Any, visit: Visits
) -> None:
    jobs.submit("wordy", "head -c 36000 /dev/zero | tr '\\0' x >&2; exit 3", chunks=1, options={"retries": 0})
    here = visit(studio.url, "/jobs/wordy", phone=True)
    error = here.page.locator("#error")
    expect(error).to_contain_text("xxxxxx")
    assert error.evaluate("error => error.offsetHeight") <= 240
    for _ in range(20):
        here.page.keyboard.press("Tab")
        if error.evaluate("error => error === document.activeElement"):
            break
    here.page.keyboard.press("End")
    here.page.wait_for_function("document.querySelector('#error').scrollTop > 0")
    assert here.overhang == 0


@pytest.mark.parametrize("dark", [False, True])
def test_the_axes_of_the_chart_can_be_read(studio: Any, jobs: Any, visit: Visits, dark: bool) -> None:
    job = f"charted-{dark}".lower()
    jobs.submit(job, "sleep 0.6", chunks=4, options={"concurrency": 1})
    here = visit(studio.url, f"/jobs/{job}", dark=dark)
    drawn = here.page.locator(".chart svg text").first
    expect(drawn).to_be_visible()
    red, green, blue = re.findall(r"\d+", drawn.evaluate("text => getComputedStyle(text).fill"))
    shown = f"#{int(red):02x}{int(green):02x}{int(blue):02x}"
    assert contrast(shown, colours("dark" if dark else "light")["surface"]) >= 4.5
