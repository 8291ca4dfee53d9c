"""The single ordered writer of a running job: first durable, then reported.

The loop records what happens; the ledger commits it in batches, as large as what came in while the previous one was
being written (group commit), and only then tells the observers. Nobody waits for it while the job runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, cast

from msgspec.structs import replace

from heliostat.contracts.repository import AttemptChange, Batch, ChunkChange, Happening, JobChange, JobEvent
from heliostat.errors import RepositoryUnavailable
from heliostat.journal import Retelling, rows_by_key
from heliostat.model.events import ChunkProgressed, Progressed
from heliostat.model.status import AttemptState, AttemptStatus, ChunkState

if TYPE_CHECKING:
    from heliostat.executor.attempt import Attempt
    from heliostat.executor.observers import Observers
    from heliostat.model.status import JobMetrics

Commit = Callable[[Batch], Awaitable[None]]
Frames = ChunkProgressed | Progressed

REPOSITORY_PATIENCE: Final = 60.0
"""Seconds that the ledger goes on trying while the repository is locked, full or unreachable."""
_LONGEST_PAUSE = 1.0
_WAY = 1e-6
_RUNNING, _SUCCEEDED, _FAILED = AttemptState.RUNNING, ChunkState.SUCCEEDED, ChunkState.FAILED  # see `attempt`


async def commit_nowhere(batch: Batch) -> None:
    """The commit of a job that no repository knows."""


class Ledger:
    """`accepted` counts successes recorded, `committed` those on the disk: `committed <= accepted`, both only rise."""

    def __init__(
        self,
        commit: Commit,
        observers: Observers,
        retelling: Retelling,
        completed: int,
        *,
        metrics: Callable[[], JobMetrics],
        on_failure: Callable[[], None],
    ) -> None:
        """`metrics` says what the job has cost so far, so that every batch has rows and metrics of one moment."""
        self.accepted = completed
        self.committed = completed
        self.failure: Exception | None = None
        """What stopped the ledger: nothing is written or reported after it."""
        self._commit = commit
        self._observers = observers
        self._retelling = retelling
        self._metrics = metrics
        self._on_failure = on_failure
        self._chunks: dict[int, ChunkChange] = {}
        self._attempts: dict[str, AttemptStatus] = {}
        self._begun: dict[str, Attempt] = {}
        self._told: list[Happening | Frames] = []
        """What the observers are told of the batch, in order. The journal is told the same but for the frames."""
        self._has_frames = False
        self._job: JobChange | None = None
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._writing = False
        self._is_quiet = True
        """Nothing was recorded since the last batch was taken."""

    def begin(self, attempt: Attempt) -> None:
        """An attempt runs. Its row is written if it still does when the batch is."""
        self._begun[attempt.id] = attempt
        self._told.append(AttemptChange(attempt.index, attempt.number, _RUNNING))
        self._stir()

    def succeed(self, attempt: Attempt, status: AttemptStatus) -> int:
        """A result was accepted; returns the chunk's position, the number of accepted chunks."""
        self.accepted += 1
        self._end(attempt, status, _SUCCEEDED, self.accepted)
        return self.accepted

    def fail(self, attempt: Attempt, status: AttemptStatus, *, chunk: ChunkState) -> None:
        """An attempt failed or was cancelled; `chunk` is what becomes of its chunk."""
        self._end(attempt, status, chunk, None)

    def update(self, attempt: Attempt) -> None:
        """A running attempt has finished frames."""
        if attempt.id not in self._begun:  # else its row is written with them anyway
            self._attempts[attempt.id] = attempt.status(AttemptState.RUNNING)
            self._stir()

    def change_job(self, change: JobChange) -> None:
        """The job's own row."""
        self._job = change
        self._stir()

    def tell(self, event: JobEvent) -> None:
        """Journal an event, and tell the observers once it is committed."""
        self._told.append(event)
        self._stir()

    def show(self, frames: Frames) -> None:
        """Tell the observers once all that was recorded before is committed. The journal has nothing about frames."""
        self._told.append(frames)
        self._has_frames = True
        self._stir()

    def make_way(self) -> None:
        """Let the thread that writes for the repository have the interpreter lock, if there is one that wants it.

        An event loop that is never idle would keep it for 5 ms (`sys.getswitchinterval`) each time that thread asks,
        and a commit asks often: a fast job would be over before its first batch is.
        """
        if self._writing:
            time.sleep(_WAY)

    async def drain(self) -> None:
        """Wait until all that was recorded is committed and the observers have it in their queues. Raises what stopped
        the ledger."""
        await self._settled.wait()
        if self.failure is not None:
            raise self.failure

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            while self.failure is None:
                await self._wake.wait()
                self._wake.clear()
                self._is_quiet = True
                batch, told, accepted = self._take()
                if batch.job is not None:
                    self._writing = True
                    await self._write(batch)
                    self._writing = False
                if self.failure is not None:  # the job was taken over meanwhile
                    return
                self.committed = accepted
                self._observers.advance(accepted)
                if self._observers.listening:
                    self._tell(told, batch.attempts)
                if self._is_quiet:
                    self._settled.set()
        except Exception as error:
            self.stop(error)
        except asyncio.CancelledError:
            # At the end of a run, when all is written; or because the event loop is going down, when nobody may wait.
            self.stop(RepositoryUnavailable("the program is ending; the job can be resumed"))
            raise

    def stop(self, error: Exception) -> None:
        """Write and report nothing more."""
        if self.failure is None:
            self.failure = error
            self._settled.set()
            self._wake.set()
            self._on_failure()

    def _stir(self) -> None:
        if self._is_quiet and self.failure is None:
            self._is_quiet = False
            self._settled.clear()
            self._wake.set()

    def _end(self, attempt: Attempt, status: AttemptStatus, chunk: ChunkState, position: int | None) -> None:
        self._begun.pop(attempt.id, None)
        self._attempts[attempt.id] = status
        self._chunks[attempt.index] = ChunkChange(attempt.index, chunk, attempt.number, position)
        self._told.append(AttemptChange(attempt.index, attempt.number, status.state, position, chunk is _FAILED))
        self._stir()

    def _take(self) -> tuple[Batch, Sequence[Happening | Frames], int]:
        chunks, self._chunks = self._chunks, {}
        attempts, self._attempts = self._attempts, {}
        told, self._told = self._told, []
        has_frames, self._has_frames = self._has_frames, False
        job, self._job = self._job, None
        for attempt in self._begun.values():
            chunks[attempt.index] = ChunkChange(attempt.index, ChunkState.RUNNING, attempt.number)
            attempts[attempt.id] = attempt.status(AttemptState.RUNNING)
        self._begun = {}
        happened = [one for one in told if not isinstance(one, Frames)] if has_frames else cast("list[Happening]", told)
        if attempts or happened:
            job = replace(job or JobChange(), metrics=self._metrics())
        batch = Batch(chunks=list(chunks.values()), attempts=list(attempts.values()), job=job, happened=happened)
        return batch, told, self.accepted

    def _tell(self, told: Sequence[Happening | Frames], attempts: Sequence[AttemptStatus]) -> None:
        rows = rows_by_key(attempts)
        for one in told:
            if isinstance(one, Frames):
                self._observers.tell(one)
                continue
            for event in self._retelling.events(one, rows):
                self._observers.tell(event)

    async def _write(self, batch: Batch) -> None:
        began = time.monotonic()
        pause = 0.05
        while True:
            try:
                return await self._commit(batch)
            except RepositoryUnavailable:
                if time.monotonic() - began > REPOSITORY_PATIENCE:
                    raise
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)
