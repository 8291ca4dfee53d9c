"""`heliostat render`: from a file to chunks, with the exit status and the last words that belong to each end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Heliostat = Callable[..., Any]
JobFile = Callable[..., Path]


def test_renders_every_chunk_in_the_folder_of_the_job_file(
    heliostat: Heliostat, job_file: JobFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_file()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = heliostat("render", job)
    assert done.status == 0
    assert done.out == ""
    assert [(tmp_path / f"out/{chunk}.txt").read_text() for chunk in (0, 1)] == ["frame 0\n", "frame 1\n"]
    assert "film: 2 chunks, 10 frames, " in done.err
    assert "film: completed, 2/2 chunks, 10 frames in " in done.err


def test_joins_and_says_where_the_film_is(heliostat: Heliostat, job_file: JobFile, tmp_path: Path) -> None:
    done = heliostat("render", job_file(mergeCommand="sh -c 'cat out/0.txt out/1.txt > film.txt'"))
    assert done.status == 0
    assert (tmp_path / "film.txt").read_text() == "frame 0\nframe 1\n"
    assert "film: joining 2 chunks" in done.err


def test_leaves_the_chunks_alone_when_asked_to(heliostat: Heliostat, job_file: JobFile, tmp_path: Path) -> None:
    job = job_file(mergeCommand="touch film.txt")
    assert heliostat("render", job, "--no-merge").status == 0
    assert not (tmp_path / "film.txt").exists()


def test_a_failure_ends_with_the_cause_its_last_words_the_log_and_how_to_go_on(
    heliostat: Heliostat, job_file: JobFile, tmp_path: Path
) -> None:
    job = job_file("echo this is fine; echo '\x1b[31mno such texture\x1b[0m' >&2; exit 3", chunks=1)
    done = heliostat("render", job, "--retries", "1", "--retry-delay", "0", "--id", "j1", "--progress", "none")
    assert done.status == 1
    lines = done.err.splitlines()
    assert lines[0].startswith("heliostat: error: chunk 0 failed after 2 attempts (command_failed: exit status 3")
    assert "heliostat:   | no such texture" in lines
    assert f"heliostat:   log: {tmp_path}/.heliostat/logs/j1/000000-2.log" in lines
    assert lines[-1] == "heliostat: 0 of 1 chunk done; go on with: heliostat resume j1"
    assert "\x1b" not in done.err


def test_keep_going_renders_the_rest_before_it_fails(heliostat: Heliostat, job_file: JobFile, tmp_path: Path) -> None:
    job = job_file('test "$2" != 0 && echo done > "$1"', chunks=4)
    done = heliostat("render", job, "--retries", "0", "--keep-going", "-n", "1")
    assert done.status == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.txt", "2.txt", "3.txt"]
    assert "3 of 4 chunks done" in done.err


def test_many_failed_chunks_are_counted_after_the_first_three(heliostat: Heliostat, job_file: JobFile) -> None:
    done = heliostat("render", job_file("exit 3", chunks=5), "--retries", "0", "-k", "--progress", "none")
    assert "heliostat:   chunk 2, attempt 1: command_failed" in done.err
    assert "chunk 3, attempt 1" not in done.err
    assert "heliostat:   and 2 more failed chunks" in done.err


def test_only_some_chunks_are_done_when_these_are(heliostat: Heliostat, job_file: JobFile, tmp_path: Path) -> None:
    done = heliostat("render", job_file(chunks=5), "--only", "1,3", "--only", "4", "--id", "j1")
    assert done.status == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.txt", "3.txt", "4.txt"]
    assert "the chunks that were asked for are done, 2 others are missing; go on with: heliostat resume j1" in done.err
    assert heliostat("resume", "j1").status == 0
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_the_environment_of_commands_is_what_is_given(
    heliostat: Heliostat, job_file: JobFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSED_ON", "yes")
    monkeypatch.setenv("KEPT_BACK", "secret")
    job = job_file('echo "$SET $PASSED_ON $KEPT_BACK $FROM_JOB" > "$1"', chunks=1, env={"FROM_JOB": "job", "SET": "0"})
    assert heliostat("render", job, "--env", "SET=a=b", "-e", "PASSED_ON").status == 0
    assert (tmp_path / "out/0.txt").read_text() == "a=b yes  job\n"


def test_options_of_the_adapter_and_of_sinks_are_checked_and_used(
    heliostat: Heliostat, job_file: JobFile, tmp_path: Path
) -> None:
    done = heliostat(
        *("render", job_file(), "--set", "grace=2.5", "--id", "j1", "--progress", "none"),
        *("--sink", "json", "--sink-set", "json.path=events.jsonl"),
    )
    assert (done.status, done.out, done.err) == (0, "", "")
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert events[0]["type"] == "job_started"
    assert events[-1]["type"] == "job_ended"
    assert heliostat("show", "j1", "--json").json["worker"] == {"name": "local", "options": {"grace": 2.5}}


def test_progress_json_puts_nothing_but_events_on_stdout(program: Callable[..., Any], job_file: JobFile) -> None:
    job = job_file('echo noise; echo noise >&2; echo 1 > "$1"', mergeCommand="echo more noise")
    done = program("render", job, "--progress", "json").end()
    assert done.status == 0
    assert done.err == ""
    types = [json.loads(line)["type"] for line in done.out.splitlines()]
    assert types[0] == "job_started"
    assert types[-1] == "job_ended"
    assert types.count("chunk_succeeded") == 2


def test_a_reader_of_json_that_goes_away_does_not_harm_the_job(
    program: Callable[..., Any], job_file: JobFile, tmp_path: Path
) -> None:
    running = program("render", job_file(chunks=20), "--progress", "json")
    running.stop_reading()
    done = running.end()
    assert (done.status, done.err) == (0, "")
    assert len(list((tmp_path / "out").iterdir())) == 20


def test_the_id_is_said_so_that_others_can_follow(heliostat: Heliostat, job_file: JobFile) -> None:
    assert heliostat("render", job_file(), "--id", "my-job").err.startswith("heliostat: job my-job\n")


def test_the_database_is_a_path_or_a_url_or_in_the_data_directory(
    heliostat: Heliostat, job_file: JobFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_file()
    assert heliostat("render", job, "--db", "some dir.db", "--id", "a").status == 0
    assert [j["id"] for j in heliostat("jobs", "--json", "--db", f"sqlite:///{tmp_path}/some dir.db").json] == ["a"]
    monkeypatch.delenv("HELIOSTAT_DB")
    assert heliostat("render", job, "--id", "b").status == 0
    assert (tmp_path / "data/heliostat/heliostat.db").exists()
    assert heliostat("render", job, "--db", "memory:", "--id", "c").status == 0
    assert [j["id"] for j in heliostat("jobs", "--json").json] == ["b"]


class TestWrongInput:
    """Exit status 2, one line that says where and what."""

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("{", "job.json"),
            ("", "job.json is empty"),
            ('{"frames": -1, "fps": 24, "output": "o", "command": "true"}', "$.frames: "),
            ('{"frames": 1, "fps": 24, "output": "../o", "command": "true"}', "$.output: "),
            ('{"frames": 1, "fps": 24, "output": "o", "command": "{nope}"}', "nope"),
            ('{"metadata": {"totalFrames": 1, "fps": 1}, "chunks": [{"id": 1, "startFrame": 0}]}', "$.chunks[0]"),
        ],
    )
    def test_a_wrong_job(self, content: str, sentence: str, heliostat: Heliostat, tmp_path: Path) -> None:
        (tmp_path / "job.json").write_text(content)
        self.check(heliostat("render", "job.json"), sentence)
        assert not (tmp_path / "jobs.db").exists()

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (["--worker", "moon"], "no worker adapter is called 'moon'; registered: "),
            (["--set", "size=3"], "worker adapter 'local' has no option 'size'; it has: grace"),
            (["--set", "grace=long"], "worker adapter 'local': Expected `float`, got `str` - option `grace`"),
            (["--set", "grace"], "'grace' is no setting; write KEY=VALUE"),
            (["--sink", "fax"], "no progress sink is called 'fax'"),
            (["--sink", "webhook"], "progress sink 'webhook': Object missing required field `url`"),
            (["--sink-set", "webhook.url=http://x"], "with the NAME of a sink that is in use"),
            (["--sink-set", "interval=3"], "write NAME.KEY=VALUE"),
            (["--chunk-timeout", "0"], "--chunk-timeout 0: give a number of seconds above 0"),
            (["--stall-timeout", "nan"], "--stall-timeout nan: give a number of seconds above 0"),
            (["--retry-delay", "-1"], "--retry-delay -1: give a number of seconds from 0"),
            (["--only", ","], "--only names no chunk"),
            (["--only", "77"], "the job has no chunk 77"),
            (["--env", "=x"], "--env '=x': write NAME=VALUE"),
            (["--env", "NOT_THERE"], "--env NOT_THERE: there is no such variable here"),
            (["--job-dir", "not/there"], "the job directory not/there does not exist; create it or name another"),
            (["--db", "mysql://x"], "no repository is called 'mysql'"),
        ],
    )
    def test_a_wrong_option(
        self, options: list[str], sentence: str, heliostat: Heliostat, job_file: JobFile, tmp_path: Path
    ) -> None:
        self.check(heliostat("render", job_file(), "--progress", "none", *options), sentence)
        assert not (tmp_path / "out").exists()
        assert heliostat("jobs", "--json").json == []

    @pytest.mark.parametrize(
        "options", [["--concurrency", "0"], ["--retries", "x"], ["--progress", "loud"], ["--nonsense"], []]
    )
    def test_what_typer_refuses(self, options: list[str], heliostat: Heliostat, job_file: JobFile) -> None:
        arguments = [job_file(), *options] if options else []
        done = heliostat("render", *arguments)
        assert done.status == 2
        assert "Error: " in done.err

    def test_a_file_that_is_not_there(self, heliostat: Heliostat) -> None:
        self.check(heliostat("render", "missing.toml"), "missing.toml")

    def test_an_id_that_is_taken(self, heliostat: Heliostat, job_file: JobFile) -> None:
        assert heliostat("render", job_file(), "--id", "j1").status == 0
        self.check(heliostat("render", job_file(), "--id", "j1", "--progress", "none"), "j1")

    @staticmethod
    def check(done: Any, sentence: str) -> None:
        assert done.status == 2, done.err
        assert done.out == ""
        assert sentence in done.err
        assert len(done.err.splitlines()) == 1
        assert done.err.startswith("heliostat: error: ")


def test_a_database_that_cannot_be_opened_is_a_sentence(
    heliostat: Heliostat, job_file: JobFile, tmp_path: Path
) -> None:
    (tmp_path / "no.db").write_text("this is no database, just some text that is long enough to look like a header" * 9)
    done = heliostat("render", job_file(), "--db", "no.db", "--progress", "none")
    assert done.status in (1, 2)
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("heliostat: error: ")


def test_a_folder_that_cannot_be_written_is_a_sentence(heliostat: Heliostat, job_file: JobFile, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder of the outputs belongs")
    done = heliostat("render", job_file(), "--retries", "0", "--progress", "none", "-n", "1")
    assert done.status == 1
    assert done.err.startswith("heliostat: error: chunk 0 failed after 1 attempt (")
    assert "Traceback" not in done.err


def test_a_traceback_comes_only_with_debug(heliostat: Heliostat) -> None:
    assert "Traceback" not in heliostat("render", "missing.toml").err
    done = heliostat("render", "missing.toml", "--debug")
    assert done.status == 2
    assert "Traceback" in done.err
    assert done.err.splitlines()[-1].startswith("heliostat: error: ")


def test_a_broken_plugin_is_a_warning_and_no_more(
    heliostat: Heliostat, job_file: JobFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIOSTAT_PLUGINS", "nowhere")
    done = heliostat("render", job_file(), "--progress", "none")
    assert done.status == 0
    assert done.err == (
        "heliostat: warning: HELIOSTAT_PLUGINS names 'nowhere', which no installed distribution provides; install it or"
        " take the name out.\n"
    )
