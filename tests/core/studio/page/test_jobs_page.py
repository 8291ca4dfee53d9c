"""The list of jobs, and what is the same on every page, in Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

Visits = Callable[..., Any]

WAITING = 'until [ -e "go $2" ] || [ -e go ]; do sleep 0.02; done; echo "done $2" >"$1"'


def test_a_job_is_listed_with_how_far_it_is(studio: Any, jobs: Any, visit: Visits) -> None:
    here = visit(studio.url, "/?name=heliotrope")
    expect(here.page.get_by_text("No job is like that.")).to_be_visible()
    jobs.submit("listed", WAITING, chunks=4, name="Heliotrope", options={"concurrency": 2})
    row = here.page.locator("[data-job='listed']")
    expect(row.locator(".pill")).to_have_text("running")
    jobs.let(0)
    expect(row.locator(".percent")).to_have_text("25 %")
    expect(row.locator(".frames")).to_have_text("5 of 20 frames")
    expect(row.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "25")
    expect(row.locator(".worker")).to_have_text("local")
    here.shoot("jobs")
    jobs.let()
    expect(row.locator(".pill")).to_have_text("completed")
    expect(row.locator(".percent")).to_have_text("100 %")


def test_jobs_are_found_by_name_and_state_and_in_pages(studio: Any, jobs: Any, visit: Visits) -> None:
    for number in range(27):
        jobs.submit(f"paged-{number}", name=f"Paged {number}", chunks=1, output=f"{number}/{{chunk}}.txt")
    jobs.submit("paged-broken", "exit 3", name="Paged broken", chunks=1, options={"retries": 0})
    jobs.until("paged-broken", "failed")
    jobs.until("paged-26", "completed")
    here = visit(studio.url, "/")
    here.page.get_by_label("Find jobs by name").fill("paged")
    rows = here.page.locator("#jobs tr")
    expect(rows).to_have_count(25)
    expect(here.page.get_by_text("1 to 25 of 28")).to_be_visible()
    here.button("Older").click()
    expect(rows).to_have_count(3)
    expect(here.page).to_have_url(re.compile("page=1"))
    here.page.reload()  # the address says it all
    expect(rows).to_have_count(3)
    here.page.get_by_role("button", name=re.compile("^failed")).click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Paged broken")
    expect(here.page.get_by_role("button", name="failed 1")).to_have_attribute("aria-pressed", "true")

    # An address may name a page that cannot be.
    here.go("/?name=paged&page=-3")
    expect(here.page.get_by_text("1 to 25 of 28")).to_be_visible()
    here.go(f"/?name=paged&page={10**30}")
    expect(here.page.get_by_text("There are no more jobs.")).to_be_visible()
    here.button("Newer").click()
    expect(here.page.get_by_text("26 to 28 of 28")).to_be_visible()
    here.go("/?name=paged&page=second")
    expect(here.page.get_by_text("1 to 25 of 28")).to_be_visible()


def test_a_phone_shows_everything_without_scrolling_sideways(studio: Any, jobs: Any, visit: Visits) -> None:
    long = "A name that is longer than the screen of a phone is wide " + "and_has_no_place_to_break_" * 4
    script = 'echo "a message about /a/path/without/any/place/to/break/it/' + "x" * 120 + '" >&2; exit 3'
    jobs.submit("phone", script, name=long, options={"retries": 0, "failFast": False})
    here = visit(studio.url, "/?name=longer", phone=True)
    expect(here.page.locator("[data-job='phone'] .pill")).to_have_text("failed")
    assert here.overhang == 0
    here.shoot("jobs-phone")
    here.go("/jobs/phone")
    expect(here.chunks("failed")).to_have_text("2 failed")
    expect(here.page.locator("#failures details").first).to_be_visible()
    assert here.overhang == 0
    here.shoot("job-phone")
    here.go("/submit")
    expect(here.button("Submit the job")).to_be_visible()
    assert here.overhang == 0
    here.shoot("submit-phone")


def test_it_is_dark_or_light_as_the_system_is_until_somebody_chooses(studio: Any, visit: Visits) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = visit(studio.url, "/"), visit(studio.url, "/", dark=True)
    for here in (light, dark):
        expect(here.page.locator("h1")).to_have_text("Jobs")
    light_ground, dark_ground = light.page.evaluate(ground), dark.page.evaluate(ground)
    assert light_ground != dark_ground
    light.button("Theme").click()
    light.page.wait_for_function(f"{ground} === {dark_ground!r}")
    light.go("/submit")
    light.page.wait_for_function(f"{ground} === {dark_ground!r}")
    light.shoot("submit-dark")
    light.button("Theme").click()  # back to what the system has
    light.page.wait_for_function(f"{ground} === {light_ground!r}")
    assert light.context.cookies() == []


def test_a_job_that_is_not_there_is_said_to_be_missing(studio: Any, visit: Visits) -> None:
    here = visit(studio.url, "/jobs/nobody-made-it")
    expect(here.page.get_by_text("There is no such job, or it was deleted.")).to_be_visible()
    assert any("404" in complaint for complaint in here.complaints)  # the browser says so, too
    here.complaints.clear()
