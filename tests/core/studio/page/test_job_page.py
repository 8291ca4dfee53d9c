"""The page of a job, in Chromium, before a real `heliostat studio`."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from heliostat.worker.ffmpeg import find_ffmpeg

Visits = Callable[..., Any]

FFMPEG = find_ffmpeg()
FILM = {
    "frames": 96,
    "fps": 24,
    "chunkCount": 4,
    "output": "out/{chunk}.mp4",
    "merge": {"stitcher": "ffmpeg", "output": "film.mp4"},
}
RENDER = (
    'until [ -e "go $2" ] || [ -e go ]; do sleep 0.02; done; exec "$0" -nostdin -v error -progress pipe:1 -f lavfi'
    ' -i "testsrc2=size=160x90:rate=24,trim=start_frame=$(($2 * 24)):end_frame=$(($2 * 24 + 24)),setpts=PTS-STARTPTS"'
    ' -pix_fmt yuv420p -qp 23 -y "$1"'
)
"""A chunk of 24 frames with real ffmpeg, `$0`, when the test lets it go."""
JOIN = (
    'echo "now they are joined"; until [ -e join ]; do sleep 0.02; done;'
    ' exec "$0" -nostdin -f concat -i parts -c copy -y film.mp4'
)
"""By real ffmpeg, `$0`, when the test lets it."""
WAITING = 'until [ -e "go $2" ] || [ -e go ]; do sleep 0.02; done; echo "done $2" >"$1"'
COUNT_FILLED = """() => {
  window.filled = 0;
  const drawing = CanvasRenderingContext2D.prototype, fillRect = drawing.fillRect;
  drawing.fillRect = function (...where) { filled += 1; fillRect.apply(this, where); };
}"""
STILL = """(before) => {
  const picture = document.querySelector("canvas").toDataURL();
  if (picture !== window.seen) [window.seen, window.since] = [picture, performance.now()];
  return picture !== before && performance.now() - window.since > 1000;
}"""
"""The map is another one than before, and has been for a second: nothing is drawn any more."""
HOSTILE = "<img src=x onerror=alert(1)><script>document.title='owned'</script>{{ 7*7 }} \u202eevil"
BROKEN = (
    'if [ "$2" = 1 ]; then printf "<script>alert(1)</script> \\033[31mlens cracked\\033[0m\\033]0;owned\\007\\n" >&2;'
    ' exit 3; fi; if [ "$2" = 2 ] && [ ! -e "again" ]; then touch again; echo "out of ideas" >&2; exit 4; fi;'
    ' echo "done $2" >"$1"'
)
"""Chunk 1 always fails, chunk 2 once."""


@pytest.mark.skipif(FFMPEG is None, reason="needs ffmpeg: pip install heliostat[video]")
def test_a_job_is_watched_from_its_first_frame_to_its_film(
    studio: Any, jobs: Any, visit: Visits, show: Callable[..., Any]
) -> None:
    command = ["sh", "-c", RENDER, FFMPEG, "{output}", "{chunk}"]
    jobs.submit("filmed", options={"concurrency": 2}, name="Test pattern", **{**FILM, "command": command})
    here = visit(studio.url, "/jobs/filmed")
    expect(here.chunks("running")).to_have_text("2 running")
    expect(here.page.locator("h1")).to_have_text("Test pattern")
    jobs.let(0)  # what is there first is what is played
    expect(here.stat("Chunks")).to_have_text("1 / 4")
    jobs.let(1)
    expect(here.stat("Chunks")).to_have_text("2 / 4")
    expect(here.chunks("running")).to_have_text("2 running")

    details, told = show(studio.db, "filmed"), jobs.events("filmed")
    succeeded = [event for event in told if event["type"] == "chunk_succeeded"]
    assert details["completedChunks"] == len(succeeded) == 2
    expect(here.page.locator("#frames")).to_have_text("48 of 96 frames")
    numbers = here.numbers()
    assert numbers["Chunks"] == f"{details['completedChunks']} / {details['totalChunks']}"
    assert numbers["Attempts"] == str(details["metrics"]["attempts"]) == "4"
    assert numbers["frames"] == f"{int(details['metrics']['framesDone'])} of 96 frames"
    assert numbers["percent"] == "50 %"
    assert numbers["state"] == details["state"] == "running"

    # Finished chunks are played while the rest still renders.
    expect(here.page.locator("#playing")).to_have_text("Chunk 0")
    plays(here, "/chunks/0/output")
    here.button("The next finished chunk").click()
    expect(here.page.locator("#playing")).to_have_text("Chunk 1")
    here.shoot("job-running")

    here.page.reload()
    expect(here.stat("Chunks")).to_have_text("2 / 4")
    assert here.numbers() == numbers

    jobs.let()
    expect(here.page.locator("#state")).to_have_text("completed")
    expect(here.page.locator("#percent")).to_have_text("100 %")
    expect(here.page.locator("#frames")).to_have_text("96 of 96 frames")
    expect(here.page.locator("#playing")).to_have_text(re.compile("whole film", re.I))
    plays(here, "/film")
    assert here.page.evaluate("document.querySelector('video').duration") == pytest.approx(4.0, abs=0.1)
    assert show(studio.db, "filmed")["metrics"]["attempts"] == int(here.numbers()["Attempts"]) == 4
    here.shoot("job-completed")


def plays(here: Any, address: str) -> None:
    """The video comes from that address, and the browser can show it."""
    expect(here.page.locator("video")).to_have_attribute("src", re.compile(re.escape(address) + "$"))
    here.page.locator("video").evaluate("video => { video.muted = true; video.play(); }")
    here.page.wait_for_function("document.querySelector('video').currentTime > 0.2")


def test_the_page_is_never_ahead_of_the_journal(studio: Any, jobs: Any, visit: Visits) -> None:
    jobs.submit("exact", WAITING, chunks=40, options={"concurrency": 4})
    here = visit(studio.url, "/jobs/exact")
    expect(here.stat("Chunks")).to_have_text("0 / 40")
    seen = 0
    jobs.let()
    while seen < 40:
        on_page = int(here.stat("Chunks").inner_text().partition(" / ")[0])
        committed = sum(event["type"] == "chunk_succeeded" for event in jobs.events("exact"))
        assert seen <= on_page <= committed
        seen = on_page
    expect(here.page.locator("#state")).to_have_text("completed")


def test_retries_and_failures_are_shown_with_what_was_said_as_plain_text(studio: Any, jobs: Any, visit: Visits) -> None:
    options = {"retries": 1, "retryDelay": 0.0, "failFast": False, "concurrency": 2}
    jobs.submit("broken", BROKEN, chunks=4, name=HOSTILE, options=options)
    here = visit(studio.url, "/jobs/broken")
    expect(here.page.locator("#state")).to_have_text("failed")
    expect(here.chunks("failed")).to_have_text("1 failed")
    expect(here.chunks("succeeded")).to_have_text("3 succeeded")
    expect(here.stat("Retries")).to_have_text("2")
    expect(here.stat("Failures")).to_have_text("3")
    expect(here.page.locator("#error")).to_contain_text("chunk 1 failed after 2 attempts")
    groups = here.page.locator("#failures details")
    expect(groups).to_have_count(2)
    expect(groups.first).to_contain_text("exit status 3")
    expect(groups.first.locator(".times")).to_have_text("2 ×")
    expect(groups.first.locator(".said").first).to_have_text("<script>alert(1)</script> lens cracked")
    expect(here.page.locator("h1")).to_contain_text("<img src=x onerror=alert(1)><script>")
    assert "\u202e" not in here.page.locator("h1").inner_text()
    assert here.page.title() != "owned"
    assert here.page.locator("h1 img").count() == 0
    here.shoot("job-failed")

    # Its attempts and their logs.
    groups.first.get_by_role("button", name="Chunk 1").first.click()
    dialog = here.page.get_by_role("dialog")
    expect(dialog.locator("tbody tr")).to_have_count(2)
    expect(dialog.locator("tbody tr").first).to_contain_text("command failed: exit status 3")
    expect(dialog.get_by_role("log")).to_contain_text("<script>alert(1)</script> lens cracked")
    log = dialog.get_by_role("log").inner_text()
    assert "\x1b" not in log
    assert "\x07" not in log
    here.shoot("chunk-failed")
    here.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert here.button("Pause").get_attribute("aria-disabled") == "true"
    assert "failed" in (here.button("Pause").get_attribute("title") or "")

    # What is mended is retried from the page.
    (jobs.folder / "out").mkdir(exist_ok=True)
    expect(here.button("Retry")).not_to_have_attribute("aria-disabled", "true")
    here.button("Retry").click()
    expect(here.stat("Failures")).to_have_text("5")
    expect(here.page.locator("#state")).to_have_text("failed")


def test_a_log_is_followed_while_it_grows(studio: Any, jobs: Any, visit: Visits) -> None:
    script = 'echo "first words"; until [ -e go ]; do sleep 0.02; done; echo "last words" >&2; ' + WAITING
    jobs.submit("talking", script, chunks=1)
    here = visit(studio.url, "/jobs/talking")
    expect(here.chunks("running")).to_have_text("1 running")
    here.map.click(position={"x": 8, "y": 8})
    log = here.page.get_by_role("log")
    expect(log).to_contain_text("first words")
    assert "last words" not in log.inner_text()
    jobs.let()
    expect(log).to_contain_text("last words")
    expect(here.page.get_by_role("dialog").locator(".pill.succeeded").first).to_be_visible()


@pytest.mark.skipif(FFMPEG is None, reason="needs ffmpeg: pip install heliostat[video]")
def test_what_the_join_says_is_followed(studio: Any, jobs: Any, visit: Visits) -> None:
    (jobs.folder / "parts").write_text("".join(f"file out/{chunk}.mp4\n" for chunk in range(4)))
    options = {
        **{name: value for name, value in FILM.items() if name != "merge"},
        "command": ["sh", "-c", RENDER, FFMPEG, "{output}", "{chunk}"],
        "mergeCommand": f"sh -c '{JOIN}' {FFMPEG}",
    }
    jobs.submit("joined", **options)
    here = visit(studio.url, "/jobs/joined")
    expect(here.stat("Chunks")).to_have_text("0 / 4")
    expect(here.button("Log of the join")).to_have_count(0)
    jobs.let()
    here.button("Log of the join").click()
    log = here.page.get_by_role("log")
    expect(log).to_contain_text("now they are joined")
    assert "film.mp4" not in log.inner_text()
    (jobs.folder / "join").touch()
    expect(log).to_contain_text("Output #0, mp4, to 'film.mp4'")
    expect(here.page.locator("#state")).to_have_text("completed")
    here.shoot("join")
    here.page.reload()
    here.button("Log of the join").click()
    expect(log).to_contain_text("Output #0, mp4, to 'film.mp4'")
    assert jobs.get("joined", "/chunks/4/attempts/1/log").text.startswith("now they are joined")


@pytest.mark.skipif(FFMPEG is None, reason="needs ffmpeg: pip install heliostat[video]")
def test_a_join_that_fails_shows_what_it_said(studio: Any, jobs: Any, visit: Visits) -> None:
    jobs.submit("unjoined", output="out/{chunk}.mp4", merge={"stitcher": "ffmpeg", "output": "film.mp4"})
    here = visit(studio.url, "/jobs/unjoined")
    expect(here.page.locator("#state")).to_have_text("failed")
    expect(here.page.locator("#error")).to_contain_text("ffmpeg could not join the parts")
    here.button("Log of the join").click()
    expect(here.page.get_by_role("log")).to_contain_text("Invalid data found when processing input")
    here.shoot("join-failed")
    here.page.keyboard.press("Escape")
    expect(here.page.get_by_role("dialog")).to_have_count(0)


def test_two_browsers_see_the_same_when_one_pauses_resumes_cancels_and_deletes(
    studio: Any, jobs: Any, visit: Visits
) -> None:
    jobs.submit("shared", WAITING, chunks=200, options={"concurrency": 2})
    one, other = visit(studio.url, "/jobs/shared"), visit(studio.url, "/jobs/shared", dark=True)
    for here in (one, other):
        expect(here.chunks("running")).to_have_text("2 running")
    one.button("Pause").click()
    for here in (one, other):
        expect(here.page.locator("#state")).to_have_text("pausing")
    while jobs.state("shared") != "paused":  # the coordinator may begin some more before it hears of it
        running = jobs.get("shared", "/chunks?state=running").json()["chunks"]
        jobs.let(*(chunk["index"] for chunk in running), -1)
    done = jobs.get("shared").json()["completedChunks"]
    for here in (one, other):
        expect(here.page.locator("#state")).to_have_text("paused")
        expect(here.stat("Chunks")).to_have_text(f"{done} / 200")
    assert one.numbers() == other.numbers()
    other.shoot("job-paused-dark")
    expect(one.button("Pause")).to_have_attribute("title", re.compile("paused"))

    other.button("Resume").click()
    for here in (one, other):
        expect(here.chunks("running")).to_have_text("2 running")
    assert one.numbers() == other.numbers()

    # What cannot be undone is asked about, and the careful answer is the one that Enter gives.
    one.button("Cancel").click()
    question = one.page.get_by_role("alertdialog")
    expect(question).to_contain_text("Cancel this job?")
    one.shoot("question")
    expect(question.get_by_role("button", name="Keep it")).to_be_focused()
    one.page.keyboard.press("Enter")
    expect(question).to_have_count(0)
    assert jobs.state("shared") == "running"
    one.button("Cancel").click()
    one.page.get_by_role("button", name="Cancel the job").click()
    for here in (one, other):
        expect(here.page.locator("#state")).to_have_text("cancelled")
    one.button("Delete").click()
    one.page.get_by_role("button", name="Delete the job").click()
    expect(one.page).to_have_url(f"{studio.url}/")
    expect(other.page.get_by_text("There is no such job, or it was deleted.")).to_be_visible()
    assert jobs.get("shared").status_code == 404


def test_everything_can_be_done_with_the_keyboard(studio: Any, jobs: Any, visit: Visits) -> None:
    jobs.submit("typed", WAITING, chunks=9, name="By hand", options={"concurrency": 1})
    jobs.let(0)
    here = visit(studio.url, "/?name=By+hand")
    press = here.page.keyboard.press
    link = here.page.get_by_role("link", name="By hand")
    expect(link).to_be_visible()
    for _ in range(20):
        press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    assert link.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    press("Enter")
    expect(here.chunks("succeeded")).to_have_text("1 succeeded")
    expect(here.chunks("running")).to_have_text("1 running")
    map_ = here.map
    for _ in range(20):
        press("Tab")
        if map_.evaluate("map => map === document.activeElement"):
            break
    tip = here.page.locator(".tip")
    expect(tip).to_contain_text("Chunk 0\nsucceeded", use_inner_text=True)
    press("ArrowRight")
    expect(tip).to_contain_text("Chunk 1\nrunning", use_inner_text=True)
    press("End")
    expect(tip).to_contain_text("Chunk 8\npending", use_inner_text=True)
    press("r")
    expect(tip).to_contain_text("Chunk 1")
    expect(here.page.locator("#chunk-map-said")).to_contain_text("Chunk 1")
    here.shoot("keyboard")
    press("Enter")
    expect(here.page.get_by_role("dialog")).to_contain_text("Chunk 1")
    press("Escape")
    expect(here.page.get_by_role("dialog")).to_have_count(0)
    expect(map_).to_be_focused()
    jobs.let()
    expect(here.page.locator("#state")).to_have_text("completed")


def test_the_timeline_is_gone_through_with_the_keyboard(studio: Any, jobs: Any, visit: Visits) -> None:
    script = f'if [ "$2" = 1 ]; then exit 3; fi; {WAITING}'
    options = {"concurrency": 2, "retries": 0, "failFast": False}
    jobs.submit("timed", script, chunks=6, options=options)
    jobs.let(2)
    here = visit(studio.url, "/jobs/timed")
    expect(here.chunks("succeeded")).to_have_text("1 succeeded")
    expect(here.chunks("running")).to_have_text("2 running")  # 0 in the first slot; 1, 2 and then 3 in the second
    press = here.page.keyboard.press
    timeline = here.page.locator("canvas").nth(1)
    expect(timeline).to_have_attribute("aria-label", re.compile("Timeline of 4 attempts in 2 slots.*Enter opens"))
    here.map.focus()
    press("Tab")
    expect(timeline).to_be_focused()
    assert timeline.evaluate("timeline => getComputedStyle(timeline).outlineStyle") == "solid"
    tip = here.page.locator(".tip")
    for key, chunk, state in (
        (None, 0, "running"),
        ("ArrowRight", 1, "failed"),
        ("End", 3, "running"),
        ("ArrowLeft", 2, "succeeded"),
        ("ArrowUp", 0, "running"),
        ("ArrowUp", 0, "running"),  # there is none above
        ("ArrowDown", 1, "failed"),
        ("r", 3, "running"),
        ("f", 1, "failed"),
        ("Home", 0, "running"),
        ("ArrowRight", 1, "failed"),
    ):
        if key is not None:
            press(key)
        expect(tip).to_contain_text(f"Chunk {chunk}, attempt 1\n{state}", use_inner_text=True)
        expect(here.page.locator("#attempt-timeline-said")).to_contain_text(f"Chunk {chunk}")
    box, frame = here.page.locator(".cursor").bounding_box(), timeline.bounding_box()
    assert box["x"] >= frame["x"] - 4
    assert box["y"] > frame["y"]  # in the second slot
    here.shoot("timeline-keyboard")
    press("Enter")
    dialog = here.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Chunk 1")
    press("Escape")
    expect(dialog).to_have_count(0)
    expect(timeline).to_be_focused()

    # What it is at stays what it is, with what has become of it, when something happens.
    press("Home")
    expect(tip).to_contain_text("Chunk 0, attempt 1\nrunning", use_inner_text=True)
    jobs.let()
    expect(tip).to_contain_text("Chunk 0, attempt 1\nsucceeded", use_inner_text=True)
    expect(here.page.locator("#state")).to_have_text("failed")
    press("End")
    expect(tip).to_contain_text("Chunk 5")

    # The same with a mouse.
    timeline.hover(position={"x": 4, "y": 4})
    expect(tip).to_contain_text("Chunk 0, attempt 1\nsucceeded", use_inner_text=True)
    timeline.click(position={"x": 4, "y": 4})
    expect(dialog).to_contain_text("Chunk 0")


def test_ten_thousand_chunks_are_one_map(studio: Any, jobs: Any, visit: Visits) -> None:
    jobs.submit("many", WAITING, chunks=10_000, options={"concurrency": 2})
    here = visit(studio.url, "/jobs/many")
    expect(here.chunks("pending")).to_have_text("9,998 pending")
    map_ = here.map
    expect(map_).to_have_attribute("aria-label", re.compile("Map of 10,000 chunks"))
    map_.focus()
    here.page.keyboard.press("End")
    expect(here.page.locator(".tip")).to_contain_text("Chunk 9999")
    picture = "canvas => canvas.toDataURL()"
    before = map_.evaluate(picture)
    here.page.evaluate(COUNT_FILLED)
    jobs.let(0)
    expect(here.chunks("succeeded")).to_have_text("1 succeeded")
    expect(here.chunks("running")).to_have_text("2 running")
    here.page.wait_for_function(STILL, arg=before, polling=100)
    after = map_.evaluate(picture)
    here.shoot("many-chunks")
    assert here.page.evaluate("filled") < 1_000  # no cell is drawn again that is as it was
    here.button("Theme").click()
    here.page.wait_for_function(f"filled >= 10000 && ({picture})(document.querySelector('canvas')) !== {after!r}")
    here.button("Theme").click()
    here.page.wait_for_function(f"({picture})(document.querySelector('canvas')) === {after!r}")
    here.page.set_viewport_size({"width": 360, "height": 780})
    expect(here.page.locator("h1")).to_be_visible()
    assert here.overhang == 0
    here.shoot("many-chunks-phone")
    here.button("Cancel").click()
    here.page.get_by_role("button", name="Cancel the job").click()
    expect(here.page.locator("#state")).to_have_text("cancelled")


def test_a_server_that_is_killed_in_mid_job_is_missed_and_found_again(
    start_studio: Callable[..., Any], visit: Visits, tmp_path: Path
) -> None:
    studio = start_studio()
    jobs = _Jobs(studio, tmp_path)
    jobs.submit("survives", chunks=6)
    here = visit(studio.url, "/jobs/survives")
    expect(here.stat("Chunks")).to_have_text("0 / 6")
    lost = here.page.get_by_role("alert").filter(has_text="The connection to Studio is gone")
    expect(lost).to_have_count(0)
    jobs.let(0, 1)
    expect(here.stat("Chunks")).to_have_text("2 / 6")
    studio.kill()
    expect(lost).to_be_visible()
    here.shoot("connection-gone")
    studio.start()
    expect(lost).to_have_count(0)
    here.complaints.clear()  # the browser tells of each try to connect
    expect(here.stat("Chunks")).to_have_text("2 / 6")
    jobs.let(2)
    expect(here.stat("Chunks")).to_have_text("3 / 6")

    # The coordinator alone: it is said, the page goes on, and so does the job.
    down = here.page.get_by_role("status").filter(has_text="No jobs are run at the moment")
    for _ in range(6):  # it is started again at once, and later each time; what is too short is not told
        os.kill(studio.coordinator(), signal.SIGKILL)
        with contextlib.suppress(AssertionError):
            expect(down).to_be_visible(timeout=4_000)
            break
    else:
        pytest.fail("nothing is said of a coordinator that is down")
    here.shoot("coordinator-down")
    expect(down).to_have_count(0)
    jobs.let()
    expect(here.page.locator("#state")).to_have_text("completed")
    expect(here.stat("Chunks")).to_have_text("6 / 6")


class _Jobs:
    """Of a Studio that is this test's own."""

    def __init__(self, studio: Any, folder: Path) -> None:
        self.studio, self.folder = studio, folder

    def submit(self, job_id: str, *, chunks: int) -> None:
        import httpx

        job = {
            "id": job_id,
            "frames": chunks,
            "fps": 24,
            "chunkCount": chunks,
            "output": "out/{chunk}.txt",
            "command": ["sh", "-c", WAITING, "sh", "{output}", "{chunk}"],
        }
        given = {"job": job, "jobDir": str(self.folder), "options": {"concurrency": 2}}
        assert httpx.post(f"{self.studio.api}/jobs", json=given).status_code == 201

    def let(self, *chunks: int) -> None:
        for name in [f"go {chunk}" for chunk in chunks] or ["go"]:
            (self.folder / name).touch()
