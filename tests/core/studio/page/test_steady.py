"""What a visitor has opened, focused or chosen stays while the job goes on, and what stands still is seen to."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from heliostat.worker.ffmpeg import find_ffmpeg

Visits = Callable[..., Any]

FFMPEG = find_ffmpeg()
WAITING = 'until [ -e "go $2" ] || [ -e go ]; do sleep 0.02; done; echo "done $2" >"$1"'
FAILING = 'until [ -e "go $2" ]; do sleep 0.02; done; echo "said by $2" >&2; exit "$((1 + $2 % 3))"'
"""With one of three exit statuses, when the test lets a chunk go."""
HALF_DONE = 'echo "openjd_progress: 80"; until [ -e "go $2" ]; do sleep 0.02; done; exit 3'
TWICE = (
    'echo "try $HELIOSTAT_ATTEMPT"; until [ -e "go $HELIOSTAT_ATTEMPT" ]; do sleep 0.02; done;'
    ' [ "$HELIOSTAT_ATTEMPT" = 2 ] && echo done >"$1"'
)
"""Fails once."""
FOCUSED = "document.activeElement.textContent"


def test_time_goes_on_while_no_frame_is_done(studio: Any, jobs: Any, visit: Visits) -> None:
    jobs.submit("silent", WAITING, chunks=2, name="A silent one", options={"concurrency": 1})
    here = visit(studio.url, "/jobs/silent")
    expect(here.chunks("running")).to_have_text("1 running")
    expect(here.stat("Elapsed")).to_have_text(re.compile(r"^0:(0[3-9]|[1-5]\d)$"))
    expect(here.stat("Frames/s")).to_have_text("–")
    assert here.page.title() == "A silent one · Heliostat"
    jobs.let()
    expect(here.page.locator("#state")).to_have_text("completed")


def test_frames_of_an_attempt_that_failed_are_gone_wherever_one_looks(
    studio: Any, jobs: Any, visit: Visits, show: Callable[..., Any]
) -> None:
    jobs.submit("lost", HALF_DONE, chunks=2, name="lost", options={"concurrency": 1, "retries": 0})
    here = visit(studio.url, "/jobs/lost")
    expect(here.page.locator("#percent")).to_have_text("40 %")
    jobs.let(0)
    expect(here.page.locator("#state")).to_have_text("failed")
    expect(here.page.locator("#percent")).to_have_text("0 %")
    expect(here.page.locator("#frames")).to_have_text("0 of 10 frames")
    later = visit(studio.url, "/?name=lost")
    expect(later.page.locator("[data-job='lost'] .percent")).to_have_text("0 %")
    assert show(studio.db, "lost")["metrics"].get("framesDone", 0) == 0


def test_a_row_that_has_the_focus_keeps_it_when_another_job_comes(studio: Any, jobs: Any, visit: Visits) -> None:
    jobs.submit("steady-1", WAITING, chunks=1, name="steady one")
    here = visit(studio.url, "/?name=steady")
    here.page.locator("[data-job='steady-1'] a").focus()
    jobs.submit("steady-2", WAITING, chunks=1, name="steady two")
    expect(here.page.locator("#jobs tr")).to_have_count(2)
    expect(here.page.locator("#jobs tr").first).to_have_attribute("data-job", "steady-2")
    assert here.page.evaluate(FOCUSED) == "steady one"

    # Another job may get the id of one that was deleted, and has its own name at once.
    jobs.let()
    jobs.until("steady-2", "completed")
    assert jobs.http.delete("jobs/steady-2").status_code == 204
    jobs.submit("steady-2", chunks=1, name="steady again")
    expect(here.page.locator("[data-job='steady-2'] a")).to_have_text("steady again")


def test_failures_that_were_opened_stay_open_when_others_come(studio: Any, jobs: Any, visit: Visits) -> None:
    options = {"concurrency": 9, "retries": 0, "failFast": False}
    jobs.submit("failures", FAILING, chunks=9, options=options)
    here = visit(studio.url, "/jobs/failures")
    groups = here.page.locator("#failures details")
    for chunk in (0, 1):
        jobs.let(chunk)
        expect(groups).to_have_count(chunk + 1)
    second = groups.filter(has_text="exit status 2")
    second.locator("summary").click()
    expect(second.locator(".said")).to_have_text("said by 1")
    jobs.let(2)
    expect(groups).to_have_count(3)
    expect(second).to_have_attribute("open", "")
    for chunk in (4, 7):
        jobs.let(chunk)
    expect(second.locator(".times")).to_have_text("3 ×")
    expect(groups.first).to_contain_text("exit status 2")
    expect(second).to_have_attribute("open", "")
    expect(second.locator(".said")).to_have_count(3)
    for chunk in (3, 5, 6, 8):
        jobs.let(chunk)
    expect(here.page.locator("#state")).to_have_text("failed")


def test_a_chunk_shows_the_log_of_its_newest_attempt_unless_another_was_chosen(
    studio: Any, jobs: Any, visit: Visits
) -> None:
    jobs.submit("twice", TWICE, chunks=1, options={"retries": 1, "retryDelay": 0.0})
    following, choosing = visit(studio.url, "/jobs/twice"), visit(studio.url, "/jobs/twice")
    for here in (following, choosing):
        expect(here.chunks("running")).to_have_text("1 running")
        here.map.click(position={"x": 8, "y": 8})
        expect(here.page.get_by_role("log")).to_contain_text("try 1")
    choosing.page.get_by_role("dialog").get_by_role("button", name="1", exact=True).click()
    choosing.page.get_by_role("log").focus()
    jobs.let(1)
    for here in (following, choosing):
        expect(here.page.get_by_role("dialog").locator("tbody tr")).to_have_count(2)
    expect(following.page.get_by_role("log")).to_contain_text("try 2")
    assert "try 1" in choosing.page.get_by_role("log").inner_text()
    assert choosing.page.evaluate("document.activeElement.className") == "log", "who reads it goes on reading"
    jobs.let(2)
    for here in (following, choosing):
        expect(here.page.get_by_role("dialog").locator(".pill.succeeded").first).to_be_visible()
    expect(following.page.get_by_role("button", name="Play")).to_have_count(0)  # a text is not to be played


@pytest.mark.skipif(FFMPEG is None, reason="needs ffmpeg: pip install heliostat[video]")
def test_what_is_played_is_brought_into_sight(studio: Any, jobs: Any, visit: Visits) -> None:
    command = [
        *(FFMPEG, "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=24"),
        *("-frames:v", "5", "-pix_fmt", "yuv420p", "-y", "{output}"),
    ]
    jobs.submit("seen", output="out/{chunk}.mp4", command=command)
    jobs.until("seen", "completed")
    here = visit(studio.url, "/jobs/seen", phone=True)
    here.map.click(position={"x": 8, "y": 8})
    here.button("Play").click()
    expect(here.page.locator("video")).to_have_attribute("src", re.compile("/chunks/0/output$"))
    expect(here.page.locator("#film-head")).to_be_in_viewport()


def test_an_address_that_is_nobody_s_leads_on(studio: Any, visit: Visits) -> None:
    here = visit(studio.url, "/")
    answer = here.page.goto(f"{studio.url}/no/such/place")
    assert answer.status == 404
    expect(here.page.locator("h1")).to_have_text("There is nothing here")
    here.complaints.clear()  # the browser's own line on the status
    here.page.get_by_role("link", name="All jobs").click()
    expect(here.page.locator("h1")).to_have_text("Jobs")
