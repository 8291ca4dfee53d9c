"""The life of one attempt inside a worker, the same whichever adapter started it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator

from heliostat.contracts.worker import ChunkReport, ChunkRequest
from heliostat.errors import AttemptError, BadOutput, Misconfigured, WorkerLost
from heliostat.model.cause import Cause
from heliostat.model.result import ChunkResult, Output
from heliostat.worker.environment import command_environment
from heliostat.worker.outputs import AttemptOutput
from heliostat.worker.process import Process
from heliostat.worker.progress import ProgressParser
from heliostat.worker.threads import in_thread
from heliostat.worker.transcript import Transcript
from heliostat.worker.warden import Warden

HEARTBEAT = 5.0
"""Seconds between heartbeats."""
TIMED_OUT_EXIT = 124
"""The exit status of a command that took too long, as `timeout` of the GNU coreutils has it."""


async def run_chunk(
    request: ChunkRequest,
    report: ChunkReport,
    *,
    grace: float = 5.0,
    warden: Warden | None = None,
) -> ChunkResult:
    """Run one attempt's command to its end and deliver its output.

    A failure of the command is a result with a non-zero `exit_code` (128 + N for signal N) and a cause. Raises
    Misconfigured where no retry can help (no such command, an output that may not be written), BadOutput when there is
    no room to begin with, WorkerLost when the machine cannot start a process. Within `request.timeout` seconds the
    command must have ended; stopping it takes at most `grace` seconds more.

    When cancelled it stops the command's whole process group (SIGTERM, `grace` seconds, SIGKILL), removes what the
    attempt wrote, and re-raises; a second cancellation cuts the grace short. With a `warden` the same happens, without
    the grace, when this process dies.
    """
    attempt = _Attempt(request, report, warden)
    try:
        return await attempt.run(grace)
    finally:
        if not attempt.delivered:
            await in_thread(attempt.output.discard)


@contextlib.contextmanager
def heartbeats(report: ChunkReport) -> Iterator[None]:
    """Gives a sign of life at once, and again every few seconds."""
    loop = asyncio.get_running_loop()
    timer: asyncio.Handle

    def beat() -> None:
        nonlocal timer
        report.heartbeat()
        timer = loop.call_later(HEARTBEAT, beat)

    beat()
    try:
        yield
    finally:
        timer.cancel()


class _Abandoned(Exception):
    """The attempt was cancelled while its output was being checked."""


class _Attempt:
    def __init__(self, request: ChunkRequest, report: ChunkReport, warden: Warden | None) -> None:
        self._begun = time.monotonic()
        self._request = request
        self._report = report
        self._warden = warden
        self._parser = ProgressParser(request.chunk.frame_count, request.progress)
        self._transcripts = {stream: Transcript(stream, report.log) for stream in ("stdout", "stderr")}
        self.output = AttemptOutput(request)
        self.delivered = False

    async def run(self, grace: float) -> ChunkResult:
        with heartbeats(self._report):
            process = self._start()
            try:
                in_time = await process.wait(self._request.timeout)
            finally:
                await self._end(process, grace)
            for stream, transcript in self._transcripts.items():
                self._search(stream, transcript.close())
            if not in_time:
                return self._failed(
                    TIMED_OUT_EXIT,
                    Cause.TIMED_OUT,
                    f"took longer than {self._request.timeout:g} seconds; allow more, or make the chunks smaller",
                )
            if process.exit_code is None:
                raise WorkerLost("the exit status of the command is unknown; let nothing else wait for its process")
            if process.exit_code:
                return self._command_failed(process.exit_code)
            return await self._deliver()

    def _start(self) -> Process:
        cwd = self._request.job_dir
        if not os.path.isdir(cwd):
            raise Misconfigured(f"the job directory {cwd} does not exist; create it or name another")
        self.output.make_room()
        token = secrets.token_hex(8)
        tokens = [self._warden.token, token] if self._warden is not None else [token]
        env = command_environment(self._request, output=self.output.path, tokens=tokens)
        command = self.output.command
        if not command:
            raise Misconfigured("the command is empty; give one")
        if command[0] == "ffmpeg":
            command = [env.get("HELIOSTAT_FFMPEG", "ffmpeg"), *command[1:]]
        try:
            process = Process(command, cwd=cwd, env=env, token=token, on_output=self._hear)
        except (OSError, ValueError) as error:
            raise _not_started(error, command[0], env["PATH"], cwd) from error
        if self._warden is not None:
            self._warden.watch(process.pid)
        return process

    async def _end(self, process: Process, grace: float) -> None:
        try:
            await process.end(grace)
        finally:
            if self._warden is not None and process.gone:
                self._warden.release(process.pid)

    def _hear(self, stream: str, data: bytes) -> None:
        self._search(stream, self._transcripts[stream].feed(data))

    def _search(self, stream: str, lines: bytes) -> None:
        if lines and self._parser.feed(stream, lines):
            self._report.frames_done(self._parser.frames_done)

    async def _deliver(self) -> ChunkResult:
        encoded, wanted = self._parser.encoded_frames, self._request.chunk.frame_count
        if self.output.path is not None and encoded is not None and encoded < wanted:
            return self._bad_output(f"ffmpeg wrote {encoded} of {wanted} frames; see why its input ended early")
        abandoned = threading.Event()

        def check_on() -> None:
            if abandoned.is_set():
                raise _Abandoned

        try:
            outputs = await in_thread(lambda: self.output.deliver(check_on), on_cancel=abandoned.set)
        except BadOutput as error:
            return self._bad_output(str(error))
        self.delivered = True
        return self._result(0, outputs=outputs)

    def _command_failed(self, code: int) -> ChunkResult:
        exit_code = code if code > 0 else 128 - code
        message = f"exit status {code}" if code > 0 else f"killed by {_signal_name(-code)}"
        if exit_code == 128 + signal.SIGKILL:
            return self._failed(
                exit_code,
                Cause.OUT_OF_MEMORY,
                f"{message}, most likely because memory ran out; run fewer chunks at once or give them more memory",
            )
        if self._parser.status:
            message += f' at "{self._parser.status}"'
        return self._failed(exit_code, Cause.COMMAND_FAILED, message + self._full_disk())

    def _bad_output(self, message: str) -> ChunkResult:
        full_disk = "" if self.output.full_disk_advice in message else self._full_disk()
        return self._failed(1, Cause.BAD_OUTPUT, message + full_disk)

    def _full_disk(self) -> str:
        return f", and {self.output.full_disk_advice}" if self.output.is_disk_full() else ""

    def _failed(self, exit_code: int, cause: Cause, message: str) -> ChunkResult:
        return self._result(exit_code, cause=cause, message=message)

    def _result(
        self,
        exit_code: int,
        *,
        outputs: tuple[Output, ...] = (),
        cause: Cause | None = None,
        message: str | None = None,
    ) -> ChunkResult:
        return ChunkResult(
            exit_code=exit_code,
            duration=time.monotonic() - self._begun,
            outputs=outputs,
            stdout_tail=self._transcripts["stdout"].tail,
            stderr_tail=self._transcripts["stderr"].tail,
            cause=cause,
            message=message,
            worker=f"{os.uname().nodename}/{os.getpid()}",
            attempt_id=self._request.attempt_id,
        )


def failed_result(error: AttemptError, request: ChunkRequest | None, duration: float) -> ChunkResult:
    """An exception of `run_chunk` as a result, for a transport that can only send results. Without a request when the
    worker got none that it understood."""
    return ChunkResult(
        exit_code=1,
        duration=duration,
        stderr_tail=error.stderr_tail,
        cause=error.cause,
        message=str(error),
        worker=f"{os.uname().nodename}/{os.getpid()}",
        attempt_id=request.attempt_id if request is not None else None,
    )


def _not_started(error: OSError | ValueError, program: str, path: str, cwd: str) -> AttemptError:
    if isinstance(error, ValueError):
        return Misconfigured(f"the command or its environment cannot be passed on ({error}); correct it")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        if "/" in program:
            return Misconfigured(
                f"the command {program!r}, or the interpreter in its first line, does not exist (seen from {cwd});"
                " correct the path or install it"
            )
        return Misconfigured(
            f"the command {program!r} was not found on PATH ({path}); install it, or give its whole path"
        )
    if isinstance(error, PermissionError):
        return Misconfigured(f"the command {program!r} may not be run; make it executable (chmod +x)")
    if error.errno == errno.ENOEXEC:
        return Misconfigured(
            f"the command {program!r} is no program for this machine; give a script a first line such as"
            " '#!/usr/bin/env python3'"
        )
    if error.errno == errno.E2BIG:
        return Misconfigured("the command with its environment is too long for the system; put part of it into a file")
    return WorkerLost(f"the machine could not start {program!r} ({error.strerror}); run fewer chunks at once")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
