"""The output of an attempt: written under the attempt's own name, checked, then moved into place in one step.

A chunk's `output_file` is a file, or a folder when it ends with "/" (an image sequence, say). The attempt's own name
lies beside it and so on the same disk: `part.mp4` is written as `.heliostat-part.mp4/<attempt id>.mp4`, with the suffix
kept because programs choose the format by it. That folder belongs to the chunk, so that what a killed attempt left is
found again without a search. In the command every argument that is the output, or that ends
with `=` and the output, names the attempt's own instead; of an output folder, also files inside it. The path stands in
`HELIOSTAT_OUTPUT` too.

A command that neither names its output file nor writes to `HELIOSTAT_OUTPUT` writes in place. An earlier file of that
name is removed before it starts, and what it wrote is removed when it fails, so that only a checked output is found. An
output folder has to be named.
With an empty `output_file` (a command that joins) there is nothing to rename, to check or to deliver.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator

from heliostat.contracts.worker import ChunkRequest
from heliostat.errors import AttemptError, BadOutput, Misconfigured
from heliostat.model.result import Output
from heliostat.worker.digest import sha256

_PATTERN = re.compile(r"%0?\d*d")
_OWN = ".heliostat-"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOW = 64 << 10
"""Bytes left on a disk that is called full: programs stop before the last block is used."""


class AttemptOutput:
    """Where one attempt writes, and where that belongs."""

    def __init__(self, request: ChunkRequest) -> None:
        """Plan only; touches nothing. Raises Misconfigured for an output outside of the job directory."""
        self._written = request.chunk.output_file
        self._parent = os.path.realpath(request.job_dir)
        self.path: str | None = None
        """The attempt's own output, absolute; None without an output."""
        self.command = list(request.command)
        """The request's command, writing to the attempt's own output."""
        self._is_begun = False
        if self._written:
            self._plan(request)

    def _plan(self, request: ChunkRequest) -> None:
        self._is_folder = self._written.endswith("/")
        self._parent, self._name = _locate(self._written, request.job_dir)
        own_folder = _own_folder(self._name)
        suffix = "" if self._is_folder else os.path.splitext(self._name)[1]
        self._own_name = os.path.join(own_folder, re.sub(r"[^A-Za-z0-9_-]", "_", request.attempt_id)[:80] + suffix)
        self._own_folder = os.path.join(self._parent, own_folder)
        self._final = os.path.join(self._parent, self._name)
        self.path = os.path.join(self._parent, self._own_name)
        names = dict(self._spellings(request.job_dir, self.path))
        self.command = [self._renamed(argument, names) for argument in request.command]
        # An earlier folder would have to be removed with all that somebody may have put there, so folders are excluded.
        self._in_place = self.command == request.command and not self._is_folder

    def make_room(self) -> None:
        """Make the folder, and remove what earlier attempts that were killed with their worker left in it.
        Raises Misconfigured or BadOutput."""
        if self.path is None:
            return
        with self._refusals():
            os.makedirs(self._parent, exist_ok=True)
            if not os.access(self._parent, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
                raise PermissionError(errno.EACCES, "it is read-only")
            if os.path.isdir(self._final) is not self._is_folder and os.path.lexists(self._final):
                there, wanted = ("file", "folder") if self._is_folder else ("folder", "file")
                raise Misconfigured(
                    f"the output {self._written!r} is to be a {wanted} and a {there} of that name is there;"
                    " remove it or choose another name (one that ends with '/' is a folder)"
                )
            _remove(self._own_folder)
            os.mkdir(self._own_folder)
            if self._in_place:
                _unlink(self._final)
            if self._is_folder:
                os.mkdir(self.path)
        self._is_begun = True

    def deliver(self, check_on: Callable[[], object]) -> tuple[Output, ...]:
        """Check the output, make sure that it is on the disk, move it into place. Raises BadOutput or Misconfigured.

        Blocks for as long as reading the output takes; `check_on` is called often and may raise to end that.
        """
        if self.path is None:
            return ()
        with self._refusals():
            if self._is_folder:
                outputs = self._check_folder(self.path, check_on)
                check_on()
                if os.path.lexists(self._final):
                    os.rename(self._final, f"{self.path}.old")  # a folder with content cannot be replaced in one step
                os.rename(self.path, self._final)
                _remove(f"{self.path}.old")
            else:
                source = self._final if self._in_place and not os.path.lexists(self.path) else self.path
                outputs = (self._check_file(source, self._written, check_on),)
                if not outputs[0].size:
                    raise BadOutput(f"the command ended well, but its output {self._written!r} is empty")
                check_on()
                if source != self._final:
                    os.replace(source, self._final)
            _remove(self._own_folder)
            _flush(self._parent)
            return outputs

    def discard(self) -> None:
        """Remove what the attempt wrote."""
        if self._is_begun and self.path is not None:
            _remove(self._own_folder)
            if self._in_place:
                _unlink(self._final)

    def is_disk_full(self) -> bool:
        """Whether a failure may have come from a disk without room."""
        try:
            disk = os.statvfs(self._parent)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize < _LOW or (disk.f_files > 0 and disk.f_favail == 0)

    @property
    def full_disk_advice(self) -> str:
        return f"the disk that holds {self._parent} is full; free some space"

    def _check_folder(self, folder: str, check_on: Callable[[], object]) -> tuple[Output, ...]:
        outputs: list[Output] = []
        if not os.path.isdir(folder) or os.path.islink(folder):
            raise self._missing()
        for place, _, names in os.walk(folder):
            for name in sorted(names):
                path = os.path.join(place, name)
                if stat.S_ISREG(os.lstat(path).st_mode):
                    relative = os.path.relpath(path, folder)
                    outputs.append(self._check_file(path, f"{self._written.rstrip('/')}/{relative}", check_on))
            _flush(place)
        if not outputs:
            raise self._missing()
        if not any(output.size for output in outputs):
            raise BadOutput(f"the command ended well, but all files in its output {self._written!r} are empty")
        return tuple(sorted(outputs, key=lambda output: output.path))

    def _check_file(self, path: str, name: str, check_on: Callable[[], object]) -> Output:
        try:
            name.encode()
            found = os.lstat(path)
        except FileNotFoundError:
            raise self._missing() from None
        except UnicodeEncodeError:
            raise BadOutput(f"the name of the output {name!a} is not UTF-8; choose another") from None
        if stat.S_ISLNK(found.st_mode):
            raise BadOutput(f"the output {name!r} is a symbolic link; write the file itself")
        if not stat.S_ISREG(found.st_mode):
            raise BadOutput(f"the output {name!r} is no regular file; write one")
        with open(path, "rb", buffering=0) as file:
            # What the repository calls done must survive a power failure. Without this the name may, and the content
            # not: file systems order a rename before the data it refers to.
            _flush(file.fileno())
            return Output(path=name, size=found.st_size, sha256=sha256(file, between=check_on))

    def _missing(self) -> BadOutput:
        return BadOutput(
            f"the command ended well, but wrote no {self._written!r}; let it write there, or to $HELIOSTAT_OUTPUT"
        )

    def _spellings(self, job_dir: str, own: str) -> Iterator[tuple[str, str]]:
        """The ways in which a command may name the output, with the attempt's own in the same way."""
        written = self._written.rstrip("/")
        for spelling in (written, os.path.normpath(written), os.path.abspath(os.path.join(job_dir, written))):
            yield spelling, os.path.join(os.path.dirname(spelling), self._own_name)
        if not os.path.isabs(written):
            plain = os.path.normpath(written)
            yield f"./{plain}", f"./{os.path.join(os.path.dirname(plain), self._own_name)}"
        yield self._final, own

    def _renamed(self, argument: str, names: dict[str, str]) -> str:
        starts = [0, *(at + 1 for at, character in enumerate(argument) if character == "=")]
        for start in starts:
            value = argument[start:]
            if value in names:
                return argument[:start] + names[value]
            if self._is_folder:
                for name, own in names.items():
                    if value.startswith(f"{name}/"):
                        return argument[:start] + own + value[len(name) :]
        return argument

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn the file system's errors into sentences."""
        try:
            yield
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> AttemptError:
        if error.errno in _FULL:
            return BadOutput(self.full_disk_advice)
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return Misconfigured(
                f"the output folder {self._parent} cannot be written to ({error.strerror});"
                " make it writable or choose another"
            )
        if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
            return Misconfigured(
                f"the output {self._written!r} collides with what is there ({error.strerror}: {error.filename});"
                " choose another name"
            )
        return BadOutput(f"the output {self._written!r} cannot be delivered ({error.strerror or error})")


def _locate(written: str, job_dir: str) -> tuple[str, str]:
    """The output's folder, with all symbolic links resolved, and its name in it."""
    job = os.path.realpath(job_dir)
    if _PATTERN.search(os.path.basename(written.rstrip("/"))):
        raise Misconfigured(
            f"the output {written!r} is a pattern; name the folder that holds the files instead, ending with '/'"
        )
    parent, name = os.path.split(os.path.join(job, written.rstrip("/")))
    parent = os.path.realpath(parent)
    if not written.rstrip("/") or name in (".", "..") or "\0" in written or os.path.commonpath([job, parent]) != job:
        raise Misconfigured(f"the output {written!r} is not inside the job directory {job}; choose a path inside it")
    return parent, name


def _own_folder(name: str) -> str:
    """The name of the folder that holds what attempts at one output write."""
    if len(os.fsencode(name)) > 200:  # file systems allow 255 bytes
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f"{_OWN}{name}"


def _flush(what: int | str) -> None:
    """Wait until a file, or a folder with its entries, is on the disk. Some network file systems know no such thing."""
    descriptor = os.open(what, os.O_RDONLY) if isinstance(what, str) else what
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        if isinstance(what, str):
            os.close(descriptor)


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _remove(path: str) -> None:
    """Remove a file or folder that bears an attempt's own name."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        _unlink(path)
