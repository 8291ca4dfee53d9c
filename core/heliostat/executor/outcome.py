"""How a run of a job ended."""

from __future__ import annotations

from msgspec import Struct

from heliostat.errors import JobFailed
from heliostat.model.cause import Cause
from heliostat.model.status import JobMetrics, JobState


class JobResult(Struct, frozen=True, kw_only=True):
    """A run that did not fail."""

    job_id: str
    state: JobState
    """`completed`; or `paused`: somebody paused the job, or only some chunks were asked for and others are missing."""
    completed_chunks: int
    total_chunks: int
    duration: float
    """Seconds that this run took."""
    output: str | None = None
    """The film, relative to the job directory, where a stitcher made one."""
    metrics: JobMetrics


class Failure(Struct, frozen=True, kw_only=True):
    """Why a run failed: its first given-up chunk, or what went wrong with the job as a whole."""

    sentence: str
    chunk: int | str | None = None
    attempts: int = 0
    cause: Cause | None = None
    stderr_tail: str = ""
    chunks: int = 0
    """How many chunks were given up."""

    @classmethod
    def of_chunk(cls, chunk: int | str, attempts: int, cause: Cause, message: str, stderr_tail: str) -> Failure:
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        last_line = stderr_tail.strip().rpartition("\n")[2].strip()
        said = f"; its last words: {last_line}" if last_line and last_line not in message else ""
        return cls(
            sentence=f"chunk {chunk} failed after {times} ({cause}: {message}{said})",
            chunk=chunk,
            attempts=attempts,
            cause=cause,
            stderr_tail=stderr_tail,
            chunks=1,
        )

    @classmethod
    def of_job(cls, error: Exception) -> Failure:
        sentence = str(error) or type(error).__name__
        return cls(
            sentence=sentence, cause=getattr(error, "cause", None), stderr_tail=getattr(error, "stderr_tail", "")
        )

    def exception(self, job_id: str) -> JobFailed:
        return JobFailed(
            self.sentence,
            job_id=job_id,
            chunk=self.chunk,
            attempts=self.attempts,
            cause=self.cause,
            stderr_tail=self.stderr_tail,
        )

    def and_another(self) -> Failure:
        first = self.sentence.partition(" chunks failed; the first: ")[2] or self.sentence
        return Failure(
            sentence=f"{self.chunks + 1} chunks failed; the first: {first}",
            chunk=self.chunk,
            attempts=self.attempts,
            cause=self.cause,
            stderr_tail=self.stderr_tail,
            chunks=self.chunks + 1,
        )
