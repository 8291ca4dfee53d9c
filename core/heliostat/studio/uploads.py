"""Jobs that come over HTTP: each without a job directory gets one of its own, with what was sent in it."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final

from msgspec.structs import asdict

from heliostat import JobExecutionOptions, WorkerChoice, check_worker, parse_spec
from heliostat.errors import SpecError
from heliostat.studio.problems import Problem, Refused, problem

if TYPE_CHECKING:
    from heliostat.studio.api.records import SubmissionOptions
    from heliostat.studio.studio import Studio

LONGEST_PATH: Final = 1_000
"""Characters of the path of an uploaded file."""
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9]+")


class Upload:
    """A job and the files that came with it."""

    def __init__(
        self,
        *,
        file_name: str,
        job: bytes,
        files: Sequence[tuple[str, BinaryIO]] = (),
        job_dir: str | None = None,
        place: str = "$",
    ) -> None:
        """`job`: the content of a job file of that name. `files`: paths relative to the job file, and contents.
        `job_dir`: an absolute path of a directory that is there; None for a new one. `place`: of the job in what was
        sent."""
        self.file_name = PurePosixPath(file_name).name
        self.job = job
        self.files = files
        self.job_dir = job_dir
        self.place = place


async def submit(studio: Studio, upload: Upload, options: SubmissionOptions, worker: WorkerChoice) -> str:
    """Store a pending job; returns its id. Raises SpecError, PluginError, JobExists, RepositoryUnavailable and, when
    the disk is full, Refused. What was written is gone then."""
    await asyncio.to_thread(check_worker, worker)
    if upload.job_dir is not None:
        return await _submit(studio, upload, await asyncio.to_thread(_there, upload.job_dir), options, worker)
    try:
        folder = await asyncio.to_thread(_unpack, studio.settings.directory, upload)
    except OSError as error:
        raise Refused(_no_room(error)) from error
    try:
        return await _submit(studio, upload, folder, options, worker)
    except BaseException:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        raise


async def _submit(
    studio: Studio, upload: Upload, folder: Path, options: SubmissionOptions, worker: WorkerChoice
) -> str:
    try:
        spec = await asyncio.to_thread(parse_spec, upload.job, upload.file_name, job_dir=folder)
        how = JobExecutionOptions(**asdict(options), job_dir=folder)
        return await studio.manager.submit(spec, how, worker=worker, start=False)
    except SpecError as error:
        if error.path is None or not error.path.startswith("$"):
            raise
        message = str(error).removeprefix(f"{error.path}: ")
        raise SpecError(message, path=upload.place + error.path[1:]) from None


def _there(job_dir: str) -> Path:
    if "\0" in job_dir or not os.path.isabs(job_dir) or not os.path.isdir(job_dir):
        raise SpecError("the job directory is no absolute path of a directory that is there", path="$.jobDir")
    return Path(job_dir)


def _unpack(directory: Path, upload: Upload) -> Path:
    """A new folder with the job file and its files. Raises SpecError and OSError."""
    if "/" in _inside(upload.file_name):
        raise SpecError("the job file's name has a folder in it", path="job")
    taken = {upload.file_name}
    paths = []
    for name, _ in upload.files:
        path = _inside(name)
        if path in taken:
            raise SpecError(f"{name!r} is there twice", path="files")
        taken.add(path)
        paths.append(path)
    directory.mkdir(parents=True, exist_ok=True)
    stem = _NOT_PLAIN.sub("-", PurePosixPath(upload.file_name).stem)[:40].strip("-") or "job"
    folder = Path(tempfile.mkdtemp(prefix=f"{stem}-", dir=directory))
    try:
        (folder / upload.file_name).write_bytes(upload.job)
        for path, (_, content) in zip(paths, upload.files, strict=True):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                shutil.copyfileobj(content, file)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, FileExistsError | NotADirectoryError):
            raise SpecError(f"{Path(error.filename).name!r} is a file and a folder", path="files") from None
        raise
    return folder


def _inside(name: str) -> str:
    """A path that cannot lead out of the folder. Raises SpecError."""
    parts = name.split("/")
    if (
        not name
        or len(name) > LONGEST_PATH
        or any(part in ("", ".", "..") or len(part.encode("utf-8", "replace")) > 255 for part in parts)
        or parts[0].startswith(".heliostat")
        or any(ord(char) < 32 or char == "\\" for char in name)
    ):
        raise SpecError(f"{name[:100]!r} is no path of a file beside the job file", path="files")
    return name


def _no_room(error: OSError) -> Problem:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return problem(507, "there is no room for it on the server's disk", name="disk-full")
    return problem(500, "what was sent cannot be stored; the server's log tells more", name="internal")
