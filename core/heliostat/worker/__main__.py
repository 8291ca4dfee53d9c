"""`python -m heliostat.worker`: run one chunk for whoever starts this, over ssh or in a container, say.

Reads one request of the wire format as a line on standard input, writes messages to standard output, and ends with
exactly one result: exit status 0 when the chunk succeeded, else 1. SIGTERM, SIGINT and SIGHUP cancel the chunk, and so
does the end of whoever reads the messages.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from heliostat.contracts.worker import ChunkRequest
from heliostat.errors import AttemptCancelled, AttemptError
from heliostat.model.result import ChunkResult
from heliostat.worker.outbox import Outbox
from heliostat.worker.runtime import failed_result, run_chunk
from heliostat.worker.warden import Warden
from heliostat.worker.wire import ResultMessage, decode_request, encode_message


class MessageWriter:
    """Writes the messages of an outbox to a descriptor, on a thread of its own."""

    def __init__(self, descriptor: int, on_broken: Callable[[], object]) -> None:
        self._descriptor = descriptor
        self._on_broken = on_broken
        self._some = threading.Event()
        self._result: bytes | None = None
        self.report = Outbox(self._some.set)
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def finish(self, result: ChunkResult) -> None:
        """Write the result, after everything before it."""
        self._result = encode_message(ResultMessage(result))
        self._some.set()
        self._thread.join()

    def _write(self) -> None:
        try:
            result = None
            while result is None:
                self._some.wait()
                self._some.clear()
                result = self._result  # looked at first, so that what was said before it is taken
                for message in self.report.take():
                    self._write_line(encode_message(message))
            self._write_line(result)
        except OSError:
            self._on_broken()

    def _write_line(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


async def work(request: ChunkRequest, descriptor: int, grace: float) -> bool:
    """Run the chunk, writing messages; says whether it succeeded."""
    loop = asyncio.get_running_loop()
    warden = Warden()
    begun = time.monotonic()
    try:
        attempt: asyncio.Task[ChunkResult]
        writer = MessageWriter(descriptor, lambda: loop.call_soon_threadsafe(lambda: attempt.cancel()))
        attempt = asyncio.create_task(run_chunk(request, writer.report, grace=grace, warden=warden))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, attempt.cancel)
        await asyncio.wait([attempt])
        try:
            result = attempt.result()
        except asyncio.CancelledError:
            result = failed_result(AttemptCancelled("cancelled as asked"), request, time.monotonic() - begun)
        except AttemptError as error:
            result = failed_result(error, request, time.monotonic() - begun)
        writer.finish(result)
        return result.exit_code == 0
    finally:
        await warden.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m heliostat.worker",
        description="Run one chunk: a request of the wire format on standard input, messages on standard output.",
    )
    parser.add_argument("--grace", type=float, default=5.0, metavar="SECONDS", help="between SIGTERM and SIGKILL")
    options = parser.parse_args()
    # Whatever else prints must not get between the messages.
    descriptor = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        request = decode_request(sys.stdin.buffer.readline())
    except AttemptError as error:
        os.write(descriptor, encode_message(ResultMessage(failed_result(error, None, 0.0))))
        return 1
    return 0 if asyncio.run(work(request, descriptor, options.grace)) else 1


if __name__ == "__main__":
    sys.exit(main())
