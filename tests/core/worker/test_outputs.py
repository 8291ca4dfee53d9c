"""Outputs: under a name of their own, checked, moved into place in one step."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heliostat.contracts.worker import ChunkRequest
from heliostat.errors import BadOutput, Misconfigured
from heliostat.model.cause import Cause
from heliostat.worker.outputs import AttemptOutput
from heliostat.worker.runtime import run_chunk

WRITE = 'echo film > "$1"'
"""A shell script that writes where it is told."""


def told(script: str, output: str) -> list[str]:
    return ["sh", "-c", script, "sh", output]


@pytest.mark.parametrize(
    ("output_file", "argument", "renamed"),
    [
        ("part.mp4", "part.mp4", ".heliostat-part.mp4/id.mp4"),
        ("part.mp4", "./part.mp4", "./.heliostat-part.mp4/id.mp4"),
        ("./part.mp4", "part.mp4", ".heliostat-part.mp4/id.mp4"),
        ("a/b/part.mp4", "a/b/part.mp4", "a/b/.heliostat-part.mp4/id.mp4"),
        ("part.mp4", "JOB/part.mp4", "JOB/.heliostat-part.mp4/id.mp4"),
        ("JOB/part.mp4", "JOB/part.mp4", "JOB/.heliostat-part.mp4/id.mp4"),
        ("part.mp4", "--output=part.mp4", "--output=.heliostat-part.mp4/id.mp4"),
        ("a=b.mp4", "a=b.mp4", ".heliostat-a=b.mp4/id.mp4"),
        ("a=b.mp4", "x=a=b.mp4", "x=.heliostat-a=b.mp4/id.mp4"),
        ("part", "part", ".heliostat-part/id"),
        ("50%.mp4", "50%.mp4", ".heliostat-50%.mp4/id.mp4"),
        ("frames/", "frames", ".heliostat-frames/id"),
        ("frames/", "frames/", ".heliostat-frames/id/"),
        ("frames/", "frames/%04d.png", ".heliostat-frames/id/%04d.png"),
        ("a/v1.2/", "-o=a/v1.2/x.png", "-o=a/.heliostat-v1.2/id/x.png"),
        ("part.mp4", "another/part.mp4", None),
        ("part.mp4", "apart.mp4", None),
        ("part.mp4", "echo > part.mp4", None),
        ("frames/", "framesets/1.png", None),
    ],
)
def test_arguments_that_name_the_output_name_the_attempt_s_own(
    request_for: Callable[..., ChunkRequest], tmp_path: Path, output_file: str, argument: str, renamed: str | None
) -> None:
    output_file, argument, expected = (
        text.replace("JOB", str(tmp_path)) for text in (output_file, argument, renamed or argument)
    )
    output = AttemptOutput(request_for(["render", argument], output_file=output_file, attempt_id="id"))
    assert output.command == ["render", expected]


@pytest.mark.parametrize(
    "output_file", ["../out", "a/../../out", "/etc/out", "..", ".", "a/..", "link/out", "/", "a\0b", "JOB", "JOBx/out"]
)
async def test_an_output_outside_of_the_job_directory_is_misconfigured(
    request_for: Any, recorder: Any, tmp_path: Path, output_file: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path.parent)
    request = request_for(["true"], output_file=output_file.replace("JOB", str(tmp_path)))
    with pytest.raises(Misconfigured, match=r"is not inside the job directory .* choose a path inside it"):
        await run_chunk(request, recorder)


async def test_a_link_to_a_place_inside_is_fine(request_for: Any, recorder: Any, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "link").symlink_to("parts")
    result = await run_chunk(request_for(told(WRITE, "link/x.bin"), output_file="link/x.bin"), recorder)
    assert result.outputs[0].path == "link/x.bin"
    assert os.listdir(tmp_path / "parts") == ["x.bin"]


async def test_a_job_directory_that_is_a_link_or_relative_works(
    request_for: Any, recorder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "job").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    for job_dir, output in (("job", "a.bin"), (str(tmp_path / "job"), str(tmp_path / "job/b.bin")), ("job", "c/d")):
        result = await run_chunk(request_for(told(WRITE, output), output_file=output, job_dir=job_dir), recorder)
        assert result.exit_code == 0, result
        assert result.outputs[0].path == output
    assert sorted(os.listdir("real")) == ["a.bin", "b.bin", "c"]


def test_a_pattern_as_output_is_misconfigured(request_for: Any) -> None:
    with pytest.raises(Misconfigured, match="name the folder that holds the files instead"):
        AttemptOutput(request_for(["x"], output_file="frames/%04d.png"))


async def test_long_names_stay_within_what_file_systems_allow(request_for: Any, recorder: Any, names: Any) -> None:
    name = "é" * 120 + ".matroska"
    result = await run_chunk(request_for(told(WRITE, name), output_file=name), recorder)
    assert result.exit_code == 0, result
    assert names() == [name]


async def test_an_attempt_id_cannot_lead_elsewhere(request_for: Any, recorder: Any, names: Any) -> None:
    result = await run_chunk(request_for(told(WRITE, "out.bin"), attempt_id="../../x y"), recorder)
    assert result.exit_code == 0
    assert names() == ["out.bin"]


async def test_the_earlier_output_stays_until_the_new_one_is_whole(
    request_for: Any, recorder: Any, tmp_path: Path, names: Any
) -> None:
    (tmp_path / "out.bin").write_text("earlier")
    script = 'cp out.bin seen; echo half > "$1"; cmp out.bin seen || exit 9; exit 1'
    assert (await run_chunk(request_for(told(script, "out.bin")), recorder)).exit_code == 1
    assert (tmp_path / "out.bin").read_text() == "earlier"
    assert (await run_chunk(request_for(told(WRITE, "out.bin")), recorder)).exit_code == 0
    assert (tmp_path / "out.bin").read_text() == "film\n"
    assert names() == ["out.bin", "seen"]


async def test_what_a_killed_attempt_left_is_removed_by_the_next(
    request_for: Any, recorder: Any, tmp_path: Path, names: Any
) -> None:
    for name in (".heliostat-out.bin/dead.bin", ".heliostat-outer.bin/x.bin", ".out.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("half")
    # Its number says nothing: an attempt that was killed before it was committed is not counted.
    assert (await run_chunk(request_for(told(WRITE, "out.bin"), attempt=1), recorder)).exit_code == 0
    assert names() == [".heliostat-outer.bin", ".out.bin", "out.bin"]


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("true", "wrote no 'out.bin'; let it write there, or to $HELIOSTAT_OUTPUT"),
        (': > "$1"', "its output 'out.bin' is empty"),
        ('ln -s /etc/passwd "$1"', "'out.bin' is a symbolic link; write the file itself"),
        ('mkfifo "$1"', "'out.bin' is no regular file; write one"),
        ('mkdir "$1"', "'out.bin' is no regular file; write one"),
    ],
)
@pytest.mark.parametrize("named", [True, False], ids=["named", "in place"])
async def test_an_output_that_is_none_is_a_bad_output(
    request_for: Any, recorder: Any, names: Any, script: str, complaint: str, named: bool
) -> None:
    command = told(script, "out.bin") if named else ["sh", "-c", script.replace('"$1"', "out.bin")]
    result = await run_chunk(request_for(command), recorder)
    assert (result.exit_code, result.cause, result.outputs) == (1, Cause.BAD_OUTPUT, ())
    assert complaint in (result.message or "")
    left = ["out.bin"] if "mkdir" in script and not named else []  # a folder is never removed under its final name
    assert names() == left


async def test_a_command_that_knows_where_it_writes_writes_in_place(
    request_for: Any, recorder: Any, tmp_path: Path, names: Any
) -> None:
    (tmp_path / "out.bin").write_text("stale")
    script = "test ! -e out.bin && echo film > out.bin"
    result = await run_chunk(request_for(["sh", "-c", script]), recorder)
    assert result.exit_code == 0
    assert result.outputs[0].sha256 == hashlib.sha256(b"film\n").hexdigest()
    assert names() == ["out.bin"]


@pytest.mark.parametrize("ending", ["exit 1", "kill -KILL $$"])
async def test_what_was_written_in_place_is_removed_on_failure(
    request_for: Any, recorder: Any, names: Any, ending: str
) -> None:
    result = await run_chunk(request_for(["sh", "-c", f"echo half > out.bin; {ending}"]), recorder)
    assert result.exit_code != 0
    assert names() == []


async def test_a_stale_output_in_place_is_never_accepted(
    request_for: Any, recorder: Any, tmp_path: Path, names: Any
) -> None:
    (tmp_path / "out.bin").write_text("stale")
    result = await run_chunk(request_for(["true"]), recorder)
    assert result.cause is Cause.BAD_OUTPUT
    assert names() == []


async def test_a_command_may_write_where_the_variable_says(request_for: Any, recorder: Any, names: Any) -> None:
    script = 'cd / && test ! -e "$HELIOSTAT_OUTPUT" && echo film > "$HELIOSTAT_OUTPUT"'
    result = await run_chunk(request_for(["sh", "-c", script], output_file="a/out.bin"), recorder)
    assert result.exit_code == 0
    assert result.outputs[0].path == "a/out.bin"
    assert names() == ["a"]


async def test_without_an_output_nothing_is_checked(request_for: Any, recorder: Any, names: Any) -> None:
    """So a merge command, which names its own output, can be run."""
    script = 'printf "frame=1\\nprogress=end\\n"; echo film > film.mp4; echo "${HELIOSTAT_OUTPUT-none}"'
    result = await run_chunk(request_for(["sh", "-c", script], output_file=""), recorder)
    assert (result.exit_code, result.outputs) == (0, ())
    assert result.stdout_tail.endswith("none\n")
    assert names() == ["film.mp4"]


async def test_a_folder_is_delivered_as_a_whole(request_for: Any, recorder: Any, tmp_path: Path, names: Any) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "stale.png").write_text("stale")
    script = 'echo one > "$1/0001.png"; mkdir "$1/b"; echo two > "$1/b/é.png"; : > "$1/done"'
    result = await run_chunk(request_for(told(script, "frames"), output_file="frames/"), recorder)
    assert result.exit_code == 0, result
    assert [(output.path, output.size) for output in result.outputs] == [
        ("frames/0001.png", 4),
        ("frames/b/é.png", 4),
        ("frames/done", 0),
    ]
    assert result.outputs[0].sha256 == hashlib.sha256(b"one\n").hexdigest()
    assert names() == ["frames"]
    assert sorted(os.listdir(tmp_path / "frames")) == ["0001.png", "b", "done"]


async def test_an_image_sequence_may_be_named_by_a_pattern_in_its_folder(request_for: Any, recorder: Any) -> None:
    script = 'for n in 1 2 3; do echo $n > "$(printf "$1" $n)"; done'
    result = await run_chunk(request_for(told(script, "f/%04d.png"), output_file="f/", frame_count=3), recorder)
    assert [output.path for output in result.outputs] == ["f/0001.png", "f/0002.png", "f/0003.png"]


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("true", "wrote no 'frames/'"),
        ('rmdir "$1"', "wrote no 'frames/'"),
        (': > "$1/1.png"', "all files in its output 'frames/' are empty"),
        ('echo x > "$1/$(printf "\\377")"', "is not UTF-8"),
        ('echo x > "$1/1.png"; exit 3', "exit status 3"),
    ],
)
async def test_a_folder_without_content_is_a_bad_output_and_the_earlier_one_stays(
    request_for: Any, recorder: Any, tmp_path: Path, names: Any, script: str, complaint: str
) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "1.png").write_text("earlier")
    result = await run_chunk(request_for(told(script, "frames"), output_file="frames/"), recorder)
    assert result.exit_code != 0
    assert complaint in (result.message or "")
    assert names() == ["frames"]
    assert os.listdir(tmp_path / "frames") == ["1.png"]


@pytest.mark.parametrize("output_file", ["taken", "taken.txt/"])
async def test_a_file_is_not_replaced_by_a_folder_nor_a_folder_by_a_file(
    request_for: Any, recorder: Any, tmp_path: Path, names: Any, output_file: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "precious").write_text("!")
    (tmp_path / "taken.txt").write_text("!")
    for command in (["true"], told(WRITE, output_file)):
        with pytest.raises(Misconfigured, match="remove it or choose another name"):
            await run_chunk(request_for(command, output_file=output_file), recorder)
    assert names() == ["taken", "taken.txt"]
    assert os.listdir(tmp_path / "taken") == ["precious"]


async def test_a_file_where_a_folder_is_needed_is_misconfigured(
    request_for: Any, recorder: Any, tmp_path: Path
) -> None:
    (tmp_path / "parts").write_text("!")
    with pytest.raises(Misconfigured, match="collides with what is there"):
        await run_chunk(request_for(["true"], output_file="parts/out.bin"), recorder)


async def test_a_cancel_while_the_output_is_checked_delivers_nothing(
    request_for: Any, recorder: Any, processes: Any, names: Any, until: Any
) -> None:
    script = 'truncate -s 20G "$1"; echo written'  # all of it a hole, and yet long to read
    request = request_for(told(script, "out.bin"), env=processes.env)
    task = asyncio.create_task(run_chunk(request, recorder))
    await until(lambda: recorder.logged["stdout"] == "written\n" and not processes.pids())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names() == []


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`mount(options)` is a small file system of its own; skips where that is not allowed."""
    mounted: list[Path] = []

    def make(options: str) -> Path:
        place = tmp_path / "disk"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"cannot mount a file system here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ('head -c 1M /dev/zero > "$1"', Cause.COMMAND_FAILED),
        ('head -c 1M /dev/zero > "$1"; exit 0', None),
        ('head -c 1M /dev/zero > filler; : > "$1"; exit 0', Cause.BAD_OUTPUT),
    ],
)
async def test_a_full_disk_is_named_as_the_reason(
    request_for: Any, recorder: Any, mount: Callable[[str], Path], script: str, cause: Cause | None
) -> None:
    disk = mount("size=256k")
    result = await run_chunk(request_for(told(script, "out.bin"), job_dir=str(disk)), recorder)
    assert result.cause is cause
    if cause is None:  # nobody but the command could know that its output is not whole
        assert os.listdir(disk) == ["out.bin"]
        return
    assert (result.message or "").endswith(f"and the disk that holds {disk} is full; free some space")
    assert "out.bin" not in os.listdir(disk)


async def test_a_disk_without_room_for_the_folder_is_a_bad_output(
    request_for: Any, recorder: Any, mount: Callable[[str], Path]
) -> None:
    disk = mount("size=256k,nr_inodes=2")
    (disk / "the only one").write_text("")
    with pytest.raises(BadOutput, match=r"the disk that holds .* is full; free some space"):
        await run_chunk(request_for(["true"], output_file="a/out.bin", job_dir=str(disk)), recorder)


async def test_a_read_only_disk_is_misconfigured(request_for: Any, recorder: Any, mount: Callable[[str], Path]) -> None:
    disk = mount("ro")
    for output_file in ("out.bin", "a/out.bin"):
        with pytest.raises(
            Misconfigured, match=r"the output folder .* cannot be written to \(.*[Rr]ead-only.*make it wri"
        ):
            await run_chunk(request_for(["true"], output_file=output_file, job_dir=str(disk)), recorder)


async def test_a_folder_that_may_not_be_written_to_is_misconfigured(
    request_for: Any, recorder: Any, tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not bind the superuser; the read-only disk stands in for it")
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(Misconfigured, match=r"the output folder .* cannot be written to"):
        await run_chunk(request_for(["true"], output_file="closed/out.bin"), recorder)


async def test_a_command_that_exceeds_its_file_size_limit_leaves_nothing(
    request_for: Any, recorder: Any, names: Any
) -> None:
    script = 'ulimit -f 8; exec head -c 1M /dev/zero > "$1"'
    result = await run_chunk(request_for(told(script, "out.bin")), recorder)
    assert (result.cause, result.message) == (Cause.COMMAND_FAILED, "killed by SIGXFSZ")
    assert names() == []
