"""The events of a job as server-sent events."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from heliostat import JobManager, open_repository, to_json

Told = tuple[str | None, str, str]
"""Id, type and data."""


class Listener:
    """Listens to a job in a thread of its own. It goes away after so many events, comes again, and goes on."""

    def __init__(self, url: str, *, stay: Callable[[], int] = lambda: 1 << 30, come_again: bool = False) -> None:
        self.heard: list[Told] = []
        self.visits = 0
        self.over = threading.Event()
        """The server has ended it: with `come_again` only when the job was deleted."""
        self._url, self._stay, self._come_again = url, stay, come_again
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def kept(self) -> list[Told]:
        """What is told for ever, without frames."""
        return [told for told in self.heard if told[0] is not None]

    @property
    def types(self) -> list[str]:
        return [kind for name, kind, _ in self.kept]

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _listen(self) -> None:
        while not self.over.is_set():
            self.visits += 1
            with contextlib.suppress(httpx.TransportError):
                self._visit()
                if not self._come_again:
                    break
            if self._come_again and self.heard and self.heard[-1][1] == "job_deleted":
                break
        self.over.set()

    def _visit(self) -> None:
        last = next((told[0] for told in reversed(self.heard) if told[0] is not None), None)
        headers = {} if last is None else {"Last-Event-ID": last}
        with httpx.stream("GET", self._url, headers=headers, timeout=60, verify=False) as answer:
            left = self._stay()
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    continue
                if "data" in fields:
                    self.heard.append((fields.get("id"), fields["event"], fields["data"]))
                    left -= 1
                fields = {}
                if left <= 0:
                    return


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def make(*arguments: Any, **more: Any) -> Listener:
        listeners.append(Listener(*arguments, **more))
        return listeners[-1]

    yield make
    for one in listeners:
        one.join()


def so_far(jobs: Any, job_id: str, **more: Any) -> list[Told]:
    return list(jobs.parse(jobs.get(job_id, "/events", params={"follow": "false"}, **more).text))


@pytest.fixture
def told(jobs: Any, parse: Any) -> Iterator[Any]:
    """A job that has failed: its events are all there are."""
    jobs.parse = parse
    script = 'if [ "$2" = 2 ]; then echo "cracked" >&2; exit 3; fi; echo >"$1"'
    jobs.submit("told", script, chunks=4, options={"retries": 1, "retryDelay": 0, "failFast": False})
    jobs.until("told", "failed")
    yield jobs
    assert jobs.http.delete("jobs/told").status_code == 204


async def test_all_that_a_job_has_told_is_told_again(told: Any, studio: Any) -> None:
    """The very events that the job's progress sinks were told."""
    heard = so_far(told, "told")
    async with JobManager(open_repository(f"sqlite:///{studio.db}")) as manager:
        kept = [(name, to_json(event)) async for name, event in manager.events("told") if name is not None]
    assert [(name, data.encode()) for name, _, data in heard] == kept
    assert all(json.loads(data)["type"] == kind for _, kind, data in heard)
    assert [kind for _, kind, _ in heard].count("attempt_failed") == 2
    assert heard[0][1], heard[-1][1] == ("job_started", "job_ended")


def test_it_goes_on_after_the_last_event_that_the_client_had(told: Any, problem: Any) -> None:
    heard = so_far(told, "told")
    for place, (name, _, _) in enumerate(heard):
        assert so_far(told, "told", headers={"Last-Event-ID": name}) == heard[place + 1 :]
    text = told.get("told", "/events", params={"follow": "false", "after": heard[3][0]}).text
    assert told.parse(text) == heard[4:]
    made = heard[0][0].rpartition("-")[2]
    for unknown in (f"9999-1-{made}", f"1-99-{made}", f"0-0-{made}", "x", "1-1-1", "1-1", "-1"):
        assert problem(told.get("told", "/events", params={"after": unknown})) == (422, "invalid"), unknown


def test_the_stream_says_what_it_is(told: Any) -> None:
    with told.http.stream("GET", "jobs/told/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert "content-length" not in answer.headers
        assert next(answer.iter_text()).startswith("retry: ")


def test_it_stays_open_over_pauses_and_runs_until_the_job_is_deleted(
    jobs: Any, waiting: str, until: Any, listen: Any
) -> None:
    jobs.submit("open", waiting, chunks=2, options={"concurrency": 2})
    listener = listen(f"{jobs.studio.api}/jobs/open/events")
    until(lambda: listener.types.count("chunk_started") == 2)
    jobs.let(0)
    until(lambda: "chunk_succeeded" in listener.types)
    jobs.post("open", "/cancel")
    until(lambda: listener.types.count("job_ended") == 1)
    jobs.until("open", "cancelled")
    jobs.let()
    jobs.post("open", "/resume")
    until(lambda: listener.types.count("job_ended") == 2)
    jobs.until("open", "completed")
    kept = [(name, kind, data) for name, kind, data in listener.kept]
    assert [json.loads(data) for _, _, data in kept] == jobs.events("open")
    assert not listener.over.is_set()
    jobs.http.delete("jobs/open")
    until(listener.over.is_set)
    assert listener.heard[-1][:2] == (None, "job_deleted")


def test_frames_are_told_without_an_id_while_a_chunk_runs(jobs: Any, until: Any, listen: Any) -> None:
    script = 'echo "openjd_progress: 40"; until [ -e go ]; do sleep 0.02; done; echo >"$1"'
    jobs.submit("frames", script, chunks=1)
    listener = listen(f"{jobs.studio.api}/jobs/frames/events")
    late: list[Listener] = []

    def heard(one: Listener) -> bool:
        return any(
            (name, kind) == (None, "chunk_progressed") and '"framesDone":2' in data for name, kind, data in one.heard
        )

    until(lambda: heard(listener))
    late.append(listen(f"{jobs.studio.api}/jobs/frames/events"))
    until(lambda: heard(late[0]))
    jobs.let()
    jobs.until("frames", "completed")
    jobs.http.delete("jobs/frames")
    for one in (listener, late[0]):
        one.join()
        assert one.kept == listener.kept


def test_clients_that_come_and_go_over_restarts_and_kills_hear_exactly_what_one_that_stayed_would(
    start_studio: Callable[..., Any], jobs_type: Any, tmp_path: Any, until: Any, parse: Any, listen: Any
) -> None:
    studio = start_studio()
    script = (
        'echo "openjd_progress: 50"; sleep 0.05;'
        ' if [ $(($2 % 9)) = 4 ] && [ ! -e "t$2" ]; then touch "t$2"; exit 3; fi; echo >"$1"'
    )
    jobs = jobs_type(studio, tmp_path)
    chunks = 100
    jobs.submit("jolted", script, chunks=chunks, options={"concurrency": 3, "retryDelay": 0})
    chances = [random.Random(seed) for seed in range(4)]
    url = f"{studio.api}/jobs/jolted/events"
    clients = [listen(url, stay=lambda chance=chance: chance.randint(0, 25), come_again=True) for chance in chances]
    jolts: list[tuple[int, Callable[[], object]]] = [
        (chunks // 5, lambda: os.kill(studio.coordinator(), signal.SIGKILL)),
        (2 * chunks // 5, studio.restart),
        (3 * chunks // 5, lambda: (studio.kill(), studio.start())),
    ]
    for share, jolt in jolts:
        until(lambda share=share: jobs.get("jolted").json()["completedChunks"] >= share)
        jolt()
    jobs.until("jolted", "completed")
    whole = parse(jobs.get("jolted", "/events?follow=false").text)
    until(lambda: all(len(client.kept) >= len(whole) for client in clients))
    jobs.http.delete("jobs/jolted")
    jobs.http.close()
    for client in clients:
        client.join()
        assert client.kept == whole
        assert client.visits > 10
    done = [json.loads(data) for _, kind, data in whole if kind == "chunk_succeeded"]
    assert [event["completedChunks"] for event in done] == list(range(1, chunks + 1))
    assert len({event["index"] for event in done}) == chunks
