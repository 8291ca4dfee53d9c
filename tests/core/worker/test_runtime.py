"""One attempt's life, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from heliostat.errors import Misconfigured, WorkerLost
from heliostat.model.cause import Cause
from heliostat.worker.runtime import run_chunk


async def test_a_command_that_ends_well_gives_a_whole_result(
    request_for: Any, recorder: Any, python: Any, tmp_path: Path
) -> None:
    source = "import sys; open(sys.argv[1], 'w').write('film'); print('hello'); print('oops', file=sys.stderr)"
    request = request_for(python(source, "out.bin"))
    result = await run_chunk(request, recorder)
    assert result.exit_code == 0
    assert result.cause is None
    assert result.message is None
    assert result.duration > 0
    assert (result.stdout_tail, result.stderr_tail) == ("hello\n", "oops\n")
    assert result.attempt_id == request.attempt_id
    assert result.worker == f"{os.uname().nodename}/{os.getpid()}"
    (output,) = result.outputs
    assert (output.path, output.size, output.sha256) == ("out.bin", 4, hashlib.sha256(b"film").hexdigest())
    assert os.listdir(tmp_path) == ["out.bin"]
    assert recorder.logged == {"stdout": "hello\n", "stderr": "oops\n"}
    assert recorder.heartbeats >= 1


async def test_names_and_arguments_may_hold_spaces_quotes_and_any_script(
    request_for: Any, recorder: Any, python: Any, tmp_path: Path
) -> None:
    name = "müller's film/Übung № 1 — 日本語 $HOME;*.mp4"
    arguments = ["two words", "", "$HOME", "a'b\"c", "naïve ☀", "*"]
    source = "import sys; open(sys.argv[1], 'w').write('\\n'.join(sys.argv[2:]))"
    result = await run_chunk(request_for(python(source, name, *arguments), output_file=name), recorder)
    assert result.exit_code == 0
    assert (tmp_path / name).read_text("utf-8").split("\n") == arguments
    assert result.outputs[0].path == name


async def test_output_that_is_no_utf8_is_kept_legible(request_for: Any, recorder: Any) -> None:
    result = await run_chunk(request_for(["sh", "-c", r"printf 'caf\351 \303\251\n'; echo x > out.bin"]), recorder)
    assert result.stdout_tail == "caf\ufffd é\n"
    assert recorder.logged["stdout"] == "caf\ufffd é\n"


async def test_a_command_has_an_empty_standard_input(request_for: Any, recorder: Any) -> None:
    assert (await run_chunk(request_for(["sh", "-c", "cat; echo x > out.bin"]), recorder)).exit_code == 0


@pytest.mark.parametrize(
    ("command", "fragments"),
    [
        (["no-such-program-here"], ["'no-such-program-here' was not found on PATH", "install it"]),
        (["./no-such-script"], ["'./no-such-script'", "does not exist", "correct the path"]),
        (["./plain.txt"], ["'./plain.txt' may not be run", "chmod +x"]),
        (["./no-interpreter"], ["interpreter in its first line, does not exist"]),
        (["./no-first-line"], ["is no program for this machine", "#!"]),
        (["echo", "a\0b"], ["cannot be passed on"]),
        (["echo", "x" * 3_000_000], ["too long for the system"]),
        ([], ["the command is empty"]),
    ],
)
async def test_a_command_that_cannot_start_is_misconfigured(
    request_for: Any, recorder: Any, tmp_path: Path, command: list[str], fragments: list[str]
) -> None:
    (tmp_path / "plain.txt").write_text("text")
    for name, text in (("no-interpreter", "#!/no/such/interpreter\n"), ("no-first-line", "\x00\x01nonsense")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    there = sorted(os.listdir(tmp_path))
    with pytest.raises(Misconfigured) as caught:
        await run_chunk(request_for(command), recorder)
    assert all(fragment in str(caught.value) for fragment in fragments)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == there


async def test_a_job_directory_that_is_missing_is_misconfigured(
    request_for: Any, recorder: Any, tmp_path: Path
) -> None:
    with pytest.raises(Misconfigured, match=r"the job directory .*nowhere does not exist; create it"):
        await run_chunk(request_for(["true"], job_dir=str(tmp_path / "nowhere")), recorder)


async def test_scripts_of_the_job_directory_are_found_by_relative_path(
    request_for: Any, recorder: Any, tmp_path: Path
) -> None:
    script = tmp_path / "render.sh"
    script.write_text('#!/bin/sh\necho film > "$1"\n')
    script.chmod(0o755)
    assert (await run_chunk(request_for(["./render.sh", "out.bin"]), recorder)).exit_code == 0


@pytest.mark.parametrize(
    ("ending", "exit_code", "cause", "message"),
    [
        ("exit 3", 3, Cause.COMMAND_FAILED, "exit status 3"),
        ("kill -SEGV $$", 139, Cause.COMMAND_FAILED, "killed by SIGSEGV"),
        ("kill -TERM $$", 143, Cause.COMMAND_FAILED, "killed by SIGTERM"),
        ("kill -KILL $$", 137, Cause.OUT_OF_MEMORY, "killed by SIGKILL, most likely because memory ran out"),
        ("exit 137", 137, Cause.OUT_OF_MEMORY, "exit status 137, most likely because memory ran out"),
        ("echo openjd_status: frame 12; exit 1", 1, Cause.COMMAND_FAILED, 'exit status 1 at "frame 12"'),
    ],
)
async def test_a_command_that_fails_halfway_leaves_nothing_in_place(
    request_for: Any,
    recorder: Any,
    tmp_path: Path,
    ending: str,
    exit_code: int,
    cause: Cause,
    message: str,
) -> None:
    script = 'echo half > "$1"; echo the reason >&2; ' + ending
    result = await run_chunk(request_for(["sh", "-c", script, "sh", "out.bin"]), recorder)
    assert (result.exit_code, result.cause) == (exit_code, cause)
    assert result.message is not None
    assert result.message.startswith(message)
    assert result.stderr_tail == "the reason\n"
    assert result.outputs == ()
    assert os.listdir(tmp_path) == []


async def test_a_command_that_takes_too_long_is_stopped_and_timed_out(
    request_for: Any, recorder: Any, processes: Any, tmp_path: Path
) -> None:
    script = "echo half > out.bin; echo begun; sleep 1000 & sleep 1000"
    request = request_for(["sh", "-c", script, "sh", "out.bin"], timeout=0.3, env=processes.env)
    result = await run_chunk(request, recorder)
    assert (result.exit_code, result.cause) == (124, Cause.TIMED_OUT)
    assert result.message == "took longer than 0.3 seconds; allow more, or make the chunks smaller"
    assert processes.pids() == []
    assert not [name for name in os.listdir(tmp_path) if "heliostat" in name]


async def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(
    request_for: Any, recorder: Any, processes: Any
) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.01; done"
    request = request_for(["sh", "-c", script], timeout=1, env=processes.env)
    result = await run_chunk(request, recorder, grace=0.2)
    assert result.cause is Cause.TIMED_OUT
    assert result.stdout_tail == "ready\n"
    assert result.duration >= 1.2
    assert processes.pids() == []


async def test_a_command_gets_the_grace_to_end_in_order(
    request_for: Any, recorder: Any, python: Any, until: Any, tmp_path: Path
) -> None:
    source = """
import signal, sys, time
def end(*_):
    time.sleep(0.2); open("ended", "w").close(); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(1000)
"""
    task = asyncio.create_task(run_chunk(request_for(python(source)), recorder, grace=60))
    await until(lambda: "ready" in recorder.logged["stdout"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (tmp_path / "ended").exists()


async def test_a_second_cancellation_cuts_the_grace_short(
    request_for: Any, recorder: Any, processes: Any, until: Any
) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.01; done"
    task = asyncio.create_task(run_chunk(request_for(["sh", "-c", script], env=processes.env), recorder, grace=1000))
    await until(lambda: "ready" in recorder.logged["stdout"])
    task.cancel()
    await asyncio.sleep(0.1)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert processes.pids() == []


@pytest.mark.parametrize("delay", [0, 0.001, 0.003, 0.005, 0.008, 0.012, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2])
async def test_a_cancel_at_any_moment_leaves_no_process_and_no_file(
    request_for: Any, recorder: Any, processes: Any, names: Any, tmp_path: Path, delay: float
) -> None:
    script = """
        sleep 1000 & setsid sleep 1000 & (setsid sh -c 'sleep 1000 & sleep 1000' >/dev/null 2>&1 &)
        echo half > "$1"; sleep 0.1; dd if=/dev/zero of="$1" bs=64k count=100 2>/dev/null; exit 0
    """
    # The first six begin at once, so that the moment falls into different phases of each.
    requests = [
        request_for(["sh", "-c", script, "sh", f"{number}.bin"], output_file=f"{number}.bin", env=processes.env)
        for number in range(6)
    ]
    tasks = [asyncio.create_task(run_chunk(request, recorder, grace=0.2)) for request in requests]
    await asyncio.sleep(delay)
    for task in tasks:
        task.cancel()
    for task, request in zip(tasks, requests, strict=True):
        try:
            result = await task
            assert result.exit_code == 0
        except asyncio.CancelledError:
            pass
        assert not [name for name in names() if request.attempt_id in name]
    assert {(tmp_path / name).stat().st_size for name in names()} <= {100 * 64 * 1024}
    await processes.wait_until_gone()


async def test_children_that_outlive_their_command_are_stopped(request_for: Any, recorder: Any, processes: Any) -> None:
    script = "echo x > out.bin; (sleep 1000 >/dev/null 2>&1 &); (trap '' TERM; sleep 1000 >/dev/null 2>&1 &); exit 0"
    result = await run_chunk(request_for(["sh", "-c", script], env=processes.env), recorder, grace=0.1)
    assert result.exit_code == 0
    assert processes.pids() == []


async def test_a_child_that_holds_the_pipes_open_does_not_hang_the_attempt(
    request_for: Any, recorder: Any, processes: Any
) -> None:
    script = "echo x > out.bin; sleep 1000 & echo last words; exit 0"
    result = await run_chunk(request_for(["sh", "-c", script], env=processes.env), recorder)
    assert (result.exit_code, result.stdout_tail) == (0, "last words\n")
    assert processes.pids() == []


async def test_a_child_that_left_the_group_with_the_pipes_is_killed(
    request_for: Any, recorder: Any, processes: Any
) -> None:
    script = """
        setsid sh -c 'echo > left; exec sleep 1000' &
        while [ ! -e left ]; do sleep 0.01; done; echo x > out.bin; echo last words
    """
    result = await run_chunk(request_for(["sh", "-c", script], env=processes.env), recorder)
    assert (result.exit_code, result.stdout_tail) == (0, "last words\n")
    await processes.wait_until_gone()


async def test_a_gigabyte_of_log_needs_little_memory(tmp_path: Path) -> None:
    """In a process of its own, because a process's peak of memory never falls."""
    program = """
import asyncio, resource
from heliostat.contracts.worker import ChunkRequest
from heliostat.model.spec import Chunk
from heliostat.worker.runtime import run_chunk

class Report:
    characters = 0
    def frames_done(self, frames): pass
    def heartbeat(self): pass
    def log(self, stream, text): self.characters += len(text)

async def main(script):
    chunk = Chunk(id=1, start_frame=0, frame_count=1, output_file="out", command=("unused",))
    report = Report()
    request = ChunkRequest(job_id="j", chunk=chunk, attempt=1, attempt_id="a", command=["sh", "-c", script])
    result = await run_chunk(request, report)
    assert result.exit_code == 0, result
    assert result.stdout_tail.endswith("last\\n"), result
    assert len(result.stdout_tail) == 8192
    return report.characters

def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
asyncio.run(main("yes | head -c 1M; echo last; echo x > out"))
before = peak()
lines = asyncio.run(main("yes | head -c 1G; echo last; echo x > out"))
no_lines = asyncio.run(main("head -c 100M /dev/zero | tr '\\\\0' x; echo; echo last; echo x > out"))
print(peak() - before, lines, no_lines)
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    megabytes, *characters = map(int, stdout.split())
    assert megabytes < 20
    assert all(4_000_000 < count < 4_300_000 for count in characters)


async def test_the_end_of_a_long_log_follows_what_was_left_out(request_for: Any, recorder: Any) -> None:
    script = "seq 1 2000000; echo x > out.bin"
    await run_chunk(request_for(["sh", "-c", script]), recorder)
    log = recorder.logged["stdout"]
    whole = "".join(f"{number}\n" for number in range(1, 2_000_001))
    head, _, tail = log.partition("[")
    left_out, tail = tail.split("]\n")
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert left_out == f"{len(whole) - len(head) - len(tail)} bytes of stdout left out"


async def test_many_attempts_at_once_do_not_disturb_each_other(request_for: Any, recorder: Any, tmp_path: Path) -> None:
    requests = [
        request_for(["sh", "-c", 'echo $0 > "$1"', str(number), f"{number}.txt"], output_file=f"{number}.txt")
        for number in range(40)
    ]
    results = await asyncio.gather(*(run_chunk(request, recorder) for request in requests))
    assert [result.exit_code for result in results] == [0] * 40
    assert [(tmp_path / f"{number}.txt").read_text() for number in range(40)] == [f"{number}\n" for number in range(40)]


def test_it_runs_on_an_event_loop_of_any_thread(request_for: Any, recorder: Any) -> None:
    codes = []
    request = request_for(["sh", "-c", "echo x > out.bin"])
    thread = threading.Thread(target=lambda: codes.append(asyncio.run(run_chunk(request, recorder)).exit_code))
    thread.start()
    thread.join()
    assert codes == [0]


@pytest.mark.parametrize("script", ["echo x > out.bin", "echo x > out.bin; exit 5"])
async def test_the_exit_is_noticed_on_systems_without_process_descriptors(
    request_for: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    result = await run_chunk(request_for(["sh", "-c", script]), recorder)
    assert result.exit_code == (5 if "exit 5" in script else 0)


async def test_nothing_is_left_open(request_for: Any, recorder: Any) -> None:
    async def use() -> int:
        await run_chunk(request_for(["sh", "-c", "echo x > out.bin; echo hello"]), recorder)
        return len(os.listdir("/dev/fd"))

    first = await use()
    assert [await use() for _ in range(5)] == [first] * 5


async def test_a_bad_progress_expression_is_misconfigured(request_for: Any, recorder: Any) -> None:
    with pytest.raises(Misconfigured, match="is not a regular expression"):
        await run_chunk(request_for(["true"], progress="("), recorder)


async def test_a_machine_that_cannot_start_a_process_is_a_lost_worker(request_for: Any, recorder: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(WorkerLost, match=r"Too many open files.*run fewer chunks at once"):
            await run_chunk(request_for(["true"]), recorder)
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
