"""Every error that Heliostat raises, under one base. The message is one sentence that says what to do.

HeliostatError
├── SpecError                 the specification or an option is wrong (exit status 2)
├── PluginError               a plugin cannot be loaded, or a name is not registered
├── JobFailed                 a chunk was given up on, or the join failed
├── JobCancelled              somebody cancelled the job
├── StitchFailed              the chunk outputs could not be joined
├── ArtifactError             an artifact store lacks something or refuses
├── RepositoryError           the repository cannot do what was asked
│   ├── JobNotFound
│   ├── JobExists
│   ├── WrongState            the job's state does not allow it
│   ├── LeaseHeld             another coordinator runs the job
│   ├── LeaseLost             another coordinator has taken the job over
│   ├── SchemaTooNew          the database was written by a newer Heliostat
│   └── RepositoryUnavailable locked, full or unreachable; the same call may succeed later
└── AttemptError              how one attempt failed; worker adapters raise these from `run`
    ├── CommandFailed · TimedOut · Stalled · OutOfMemory · BadOutput    cost an attempt
    ├── WorkerLost            costs none, up to a limit of its own
    ├── Throttled             costs none; lowers concurrency
    ├── Misconfigured         ends the job
    └── AttemptCancelled      the adapter's own way to say that it stopped as asked
"""

from __future__ import annotations

from typing import ClassVar

from heliostat.model.cause import Cause


class HeliostatError(Exception):
    """The base of all of them."""


class SpecError(HeliostatError):
    """The specification or an option is wrong. `path` is the place, such as `$.chunks[3].frameCount`."""

    def __init__(self, message: str, *, path: str | None = None) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class PluginError(HeliostatError):
    """A plugin cannot be loaded, or a name is not registered."""


class JobFailed(HeliostatError):
    """The job failed. The attributes name the first chunk that was given up on, where there is one."""

    def __init__(
        self,
        message: str,
        *,
        job_id: str | None = None,
        chunk: int | str | None = None,
        attempts: int = 0,
        cause: Cause | None = None,
        stderr_tail: str = "",
    ) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.chunk = chunk
        self.attempts = attempts
        self.cause = cause
        self.stderr_tail = stderr_tail


class JobCancelled(HeliostatError):
    """The job was cancelled."""

    def __init__(self, message: str, *, job_id: str | None = None) -> None:
        super().__init__(message)
        self.job_id = job_id


class StitchFailed(HeliostatError):
    """The chunk outputs could not be joined. `stderr_tail` is what the joining program last said."""

    def __init__(self, message: str, *, stderr_tail: str = "") -> None:
        super().__init__(message)
        self.stderr_tail = stderr_tail


class ArtifactError(HeliostatError):
    """An artifact store lacks something or refuses."""


class ArtifactDenied(ArtifactError):
    """The caller may not do that with the artifact store; no retry changes it."""


class RepositoryError(HeliostatError):
    """The repository cannot do what was asked."""


class JobNotFound(RepositoryError):
    """No job of that id."""


class JobExists(RepositoryError):
    """A job of that id is there already."""


class WrongState(RepositoryError):
    """The job's state does not allow what was asked."""


class LeaseHeld(RepositoryError):
    """Another coordinator runs the job; `owner` names it."""

    def __init__(self, message: str, *, owner: str) -> None:
        super().__init__(message)
        self.owner = owner


class LeaseLost(RepositoryError):
    """Another coordinator has taken the job over."""


class SchemaTooNew(RepositoryError):
    """The database was written by a newer Heliostat."""


class RepositoryUnavailable(RepositoryError):
    """The repository is locked, full or unreachable. Nothing was written; the same call may succeed later."""


class AttemptError(HeliostatError):
    """One attempt failed. Its class says the cause; `stderr_tail` is what the worker last said."""

    cause: ClassVar[Cause]

    def __init__(self, message: str, *, stderr_tail: str = "") -> None:
        super().__init__(message)
        self.stderr_tail = stderr_tail


class CommandFailed(AttemptError):
    cause = Cause.COMMAND_FAILED


class TimedOut(AttemptError):
    cause = Cause.TIMED_OUT


class Stalled(AttemptError):
    cause = Cause.STALLED


class OutOfMemory(AttemptError):
    cause = Cause.OUT_OF_MEMORY


class BadOutput(AttemptError):
    cause = Cause.BAD_OUTPUT


class WorkerLost(AttemptError):
    cause = Cause.WORKER_LOST


class Throttled(AttemptError):
    """The platform wants fewer calls; `retry_after` is how many seconds it asked to wait, when it said."""

    cause = Cause.THROTTLED

    def __init__(self, message: str = "throttled", *, retry_after: float | None = None, stderr_tail: str = "") -> None:
        super().__init__(message, stderr_tail=stderr_tail)
        self.retry_after = retry_after


class Misconfigured(AttemptError):
    cause = Cause.MISCONFIGURED


class AttemptCancelled(AttemptError):
    cause = Cause.CANCELLED
