"""What an upload leaves behind when it cannot be stored."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from heliostat import WorkerChoice
from heliostat.errors import SpecError
from heliostat.studio.api.records import SubmissionOptions
from heliostat.studio.problems import Refused
from heliostat.studio.settings import StudioSettings
from heliostat.studio.uploads import Upload, submit


class NoRoom(io.BytesIO):
    """As when what is read of it no longer fits on the disk."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")


async def store(directory: Path, files: list[tuple[str, Any]], file_name: str = "job.json") -> None:
    studio: Any = SimpleNamespace(settings=StudioSettings(db="memory:", directory=directory))
    await submit(studio, Upload(file_name=file_name, job=b"{}", files=files), SubmissionOptions(), WorkerChoice())


@pytest.mark.parametrize("name", ["", "..", "folder/..", "/", "n" * 300, "zero\0", ".heliostat"])
async def test_a_job_file_whose_name_is_none_is_refused_with_a_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is no path of a file"):
        await store(tmp_path, [], name)
    assert list(tmp_path.iterdir()) == []


async def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        await store(tmp_path, [("first", io.BytesIO(b"some")), ("folder/second", NoRoom())])
    assert refused.value.problem.status == 507
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [["a", "a"], ["a", "a/b"], ["a/b", "a"], ["job.json"]])
async def test_two_files_at_one_place_are_refused_and_nothing_is_left(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        await store(tmp_path, [(name, io.BytesIO(b"some")) for name in names])
    assert list(tmp_path.iterdir()) == []
