"""What the API takes and answers, beside the records that the core has."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct, field

from heliostat import AttemptStatus, ChunkState, JobView, PluginView, WorkerChoice

Seconds = Annotated[float, Meta(gt=0, le=1e9)]


class JobPage(Struct, frozen=True, kw_only=True):
    """Jobs, the newest first."""

    jobs: list[JobView]
    total: int
    """How many jobs there are in all that were asked for."""
    limit: int
    offset: int


class ChunkView(Struct, frozen=True, kw_only=True, rename="camel"):
    """A chunk, with what the specification says of it."""

    index: int
    """Its place in the specification, from 0."""
    id: int | str
    state: ChunkState
    attempts: int
    """The number of the newest attempt; 0 before the first."""
    position: int | None
    """1 for the first chunk that succeeded, and so on."""
    start_frame: int
    frame_count: int
    step: int
    output_file: str


class ChunkPage(Struct, frozen=True, kw_only=True):
    """Chunks by their index."""

    chunks: list[ChunkView]
    total: int
    """How many chunks there are in all that were asked for."""
    limit: int
    offset: int


class AttemptPage(Struct, frozen=True, kw_only=True):
    """Attempts by chunk and number."""

    attempts: list[AttemptStatus]
    more: bool
    """Whether there are further ones."""
    limit: int
    offset: int


class PluginList(Struct, frozen=True, kw_only=True):
    """All plugins, Heliostat's own first."""

    plugins: list[PluginView]


class Version(Struct, frozen=True, kw_only=True):
    """Which Heliostat this is."""

    version: str


class JobDeleted(Struct, frozen=True, kw_only=True, rename="camel", tag="job_deleted"):
    """The last event of a job's stream, when somebody has deleted the job. It has no id."""

    job_id: str
    time: float
    """Seconds since the epoch."""


class SubmissionOptions(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How a job is to be run; as the options of `heliostat submit`."""

    concurrency: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    """Attempts at once; the worker adapter's default when null."""
    retries: Annotated[int, Meta(ge=0, le=1_000)] = 2
    retry_delay: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    """Seconds."""
    chunk_timeout: Seconds | None = None
    stall_timeout: Seconds | None = None
    fail_fast: bool = True
    merge: bool = True
    only_chunks: tuple[int | str, ...] | None = None
    """Ids of chunks."""
    env: dict[str, str] = field(default_factory=dict)


class Submission(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A job to be run. What `load_spec` takes, and how it is to be run."""

    job: Raw
    """A job document, in the long or in the short form. Passed on as it came: there may be a million chunks in it."""
    options: SubmissionOptions = SubmissionOptions()
    worker: WorkerChoice = WorkerChoice()
    job_dir: str | None = None
    """An absolute path of a directory that is there; a new one is made when null."""


class UploadTerms(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What goes with an uploaded job: `Submission` without the job, in the field `terms`."""

    options: SubmissionOptions = SubmissionOptions()
    worker: WorkerChoice = WorkerChoice()
    job_dir: str | None = None
    """An absolute path of a directory that is there, and has what the job needs: no files come with it then."""
