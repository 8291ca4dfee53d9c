"""The form for a new job, in Chromium."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

Visits = Callable[..., Any]

JOB = """
id = "{id}"
name = "From the page"
frames = 4
fps = 24
chunkSize = 2
output = "{{chunk}}.txt"
inputs = ["*.txt"]
command = ["sh", "-c", 'cat words/said.txt; echo "$GREETING" >"$1"', "sh", "{{output}}"]
"""


def test_a_job_is_submitted_with_its_files_and_settings(studio: Any, jobs: Any, visit: Visits, tmp_path: Path) -> None:
    folder = tmp_path / "film"
    (folder / "words").mkdir(parents=True)
    (folder / "words" / "said.txt").write_text("said from a file\n")
    (folder / "job.toml").write_text(JOB.format(id="sent"))
    here = visit(studio.url, "/submit")
    here.page.get_by_label("Job file").set_input_files(folder / "job.toml")
    here.page.locator("#folder").set_input_files(folder)
    here.page.get_by_label("Retries").fill("0")
    here.page.get_by_label("Stop at the first failure").uncheck()
    here.page.get_by_label("Environment").fill("GREETING=good day\nOTHER=x=y")
    here.page.get_by_label("Grace").fill("2.5")
    here.shoot("submit")
    here.button("Submit the job").click()
    expect(here.page).to_have_url(f"{studio.url}/jobs/sent")
    expect(here.page.locator("#state")).to_have_text("completed")
    job = jobs.get("sent").json()
    assert job["settings"]["retries"] == 0
    assert job["settings"]["failFast"] is False
    assert job["settings"]["env"] == {"GREETING": "good day", "OTHER": "x=y"}
    assert job["worker"] == {"name": "local", "options": {"grace": 2.5}}
    assert (Path(job["jobDir"]) / "0.txt").read_text() == "good day\n"
    assert "said from a file" in jobs.get("sent", "/chunks/0/attempts/1/log").text


def test_a_job_is_written_on_the_page_and_runs_where_it_is_told_to(
    studio: Any, jobs: Any, visit: Visits, tmp_path: Path
) -> None:
    here = visit(studio.url, "/submit")
    here.button("Written here").click()
    here.page.get_by_label("Format of the job").select_option("json")
    here.page.get_by_label("Job", exact=True).fill(json.dumps(jobs.document("written", chunks=2)))
    here.page.get_by_label("Job directory").fill(str(tmp_path))
    here.button("Submit the job").click()
    expect(here.page).to_have_url(f"{studio.url}/jobs/written")
    expect(here.page.locator("#state")).to_have_text("completed")
    assert (tmp_path / "out" / "1.txt").read_text() == "1\n"


def test_what_is_wrong_is_said_at_its_field_and_nothing_is_submitted(studio: Any, jobs: Any, visit: Visits) -> None:
    here = visit(studio.url, "/submit")
    page = here.page
    here.button("Submit the job").click()
    expect(page.get_by_text("Choose the job file.")).to_be_visible()

    here.button("Written here").click()
    page.get_by_label("Retries").fill("many")
    page.get_by_label("Longest attempt").fill("0")
    page.get_by_label("Environment").fill("nonsense")
    page.get_by_label("Job", exact=True).fill("frames = 4\nfps = 24\nchunkSize = 0")
    here.button("Submit the job").click()
    expect(page.locator("#setting-retries-wrong")).to_have_text("A number, please.")
    expect(page.locator("#setting-chunkTimeout-wrong")).to_have_text("More than 0, please.")
    expect(page.locator("#setting-env-wrong")).to_have_text("nonsense is not like NAME=value.")
    expect(page.get_by_label("Retries")).to_be_focused()
    here.shoot("submit-wrong")
    for name in ("Retries", "Longest attempt", "Environment"):
        page.get_by_label(name).fill("")

    # An adapter's own options; then what only the server knows of the job itself.
    page.get_by_label("Where its chunks run").select_option("http")
    here.button("Submit the job").click()
    expect(page.locator("#worker-url-wrong")).to_have_text("This is needed.")
    page.get_by_label("Where its chunks run").select_option("local")
    here.button("Submit the job").click()
    expect(page.get_by_role("alert").filter(has_text=re.compile("chunkSize|command|output"))).to_be_visible()
    expect(page.locator("#job-wrong")).to_be_visible()
    assert page.url == f"{studio.url}/submit"
    assert any("422" in complaint for complaint in here.complaints)  # the browser says so, too
    here.complaints.clear()


def test_it_says_why_nothing_is_taken_from_another_machine(studio: Any, visit: Visits) -> None:
    here = visit(studio.url, "/submit", extra_http_headers={"X-Forwarded-For": "192.0.2.7"})
    expect(here.page.locator("#refusal")).to_contain_text("--allow-submit")
    expect(here.button("Submit the job")).to_be_disabled()
    here.shoot("submit-refused")


def test_a_browser_that_is_busy_for_ten_seconds_loses_nothing_that_was_typed(
    studio: Any, visit: Visits, browser: Browser
) -> None:
    here = visit(studio.url, "/submit")
    here.page.wait_for_function("window.did_handshake")
    here.page.get_by_label("Environment").fill("GREETING=good day")
    told = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
    renderers = [process["id"] for process in told["processInfo"] if process["type"] == "renderer"]
    assert renderers
    for pid in renderers:
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(10)  # which is what is tried
    finally:
        for pid in renderers:
            os.kill(pid, signal.SIGCONT)
    here.page.get_by_label("Grace").fill("2.5")
    here.page.wait_for_function("window.socket.connected && window.did_handshake")
    expect(here.page.get_by_label("Environment")).to_have_value("GREETING=good day")
