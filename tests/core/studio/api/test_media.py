"""The film, outputs of chunks, and pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from heliostat import log_path

FILES = ["/film", "/chunks/1/output"]


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_sent_whole_in_part_and_not_again(path: str, rendered: Any, problem: Any) -> None:
    whole = rendered.get("rendered", path)
    data = Path(rendered.folder, "film.mp4" if path == "/film" else "out/1.mp4").read_bytes()
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-disposition"].startswith("inline")
    size, etag = len(data), whole.headers["etag"]

    head = rendered.http.head(f"jobs/rendered{path}")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(size))

    for asked, first, end in (("0-9", 0, 10), ("10-", 10, size), ("-7", size - 7, size), (f"5-{size * 2}", 5, size)):
        part = rendered.get("rendered", path, headers={"Range": f"bytes={asked}"})
        assert (part.status_code, part.content) == (206, data[first:end])
        assert part.headers["content-range"] == f"bytes {first}-{end - 1}/{size}"

    for asked in (f"{size}-", "-0", f"{size * 9}-{size * 10}"):
        refused = rendered.get("rendered", path, headers={"Range": f"bytes={asked}"})
        assert problem(refused) == (416, "no-such-range")
        assert refused.headers["content-range"] == f"bytes */{size}"
    assert rendered.get("rendered", path, headers={"Range": f"bytes=-{'0' * 5000}5"}).content == data[-5:]
    for asked in ("bytes=9-5", "bytes=-", "lines=1-2", "bytes=0-1,4-5", "bytes=x-y"):
        assert rendered.get("rendered", path, headers={"Range": asked}).content == data, asked

    part = {"Range": "bytes=0-9"}
    assert rendered.get("rendered", path, headers={**part, "If-Range": etag}).status_code == 206
    assert rendered.get("rendered", path, headers={**part, "If-Range": '"other"'}).content == data
    assert rendered.get("rendered", path, headers={"If-None-Match": f'"other", {etag}'}).status_code == 304
    assert rendered.get("rendered", path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert (
        rendered.get("rendered", path, headers={"If-Modified-Since": whole.headers["last-modified"]}).status_code == 304
    )


def test_a_poster_is_a_picture_of_the_film(rendered: Any) -> None:
    poster = rendered.get("rendered", "/poster")
    assert poster.headers["content-type"] == "image/jpeg"
    assert poster.content.startswith(b"\xff\xd8\xff")
    assert poster.content.endswith(b"\xff\xd9")
    assert rendered.get("rendered", "/poster", headers={"If-None-Match": poster.headers["etag"]}).status_code == 304
    assert rendered.get("rendered", "/poster").content == poster.content


def test_what_is_not_there_is_told(jobs: Any, waiting: str, problem: Any, until: Any) -> None:
    jobs.submit("unfinished", waiting, chunks=2, options={"concurrency": 2})
    jobs.let(0)
    until(lambda: jobs.get("unfinished").json()["completedChunks"] == 1)
    assert problem(jobs.get("unfinished", "/film")) == (404, "no-film")
    assert problem(jobs.get("unfinished", "/chunks/1/output")) == (404, "no-output")
    assert problem(jobs.get("unfinished", "/chunks/2/output")) == (404, "no-output")
    assert problem(jobs.get("unfinished", "/poster")) == (404, "no-poster"), "text is no picture"
    done = jobs.get("unfinished", "/chunks/0/output")
    assert done.text == "done 0\n"
    assert done.headers["content-type"] == "text/plain; charset=utf-8"
    assert problem(jobs.get("unfinished", "/chunks/0/output", params={"file": "../../etc/passwd"})) == (
        404,
        "no-output",
    )
    jobs.let()
    jobs.until("unfinished", "completed")
    answer = jobs.get("unfinished", "/film")
    assert problem(answer) == (404, "no-film")
    assert answer.json()["detail"].startswith("job unfinished is completed, and names no film")
    Path(jobs.folder, "out/0.txt").unlink()
    assert problem(jobs.get("unfinished", "/chunks/0/output")) == (404, "not-here")
    Path(jobs.folder, "out/0.txt").mkdir()
    assert problem(jobs.get("unfinished", "/chunks/0/output")) == (404, "not-here")


@pytest.mark.parametrize("output", ["out/{chunk}.html", "out/{chunk}.svg", "out/{chunk}"])
def test_what_a_browser_could_run_is_sent_to_be_saved(output: str, jobs: Any) -> None:
    name = f"saved-{output[-4:].strip('.}')}"
    jobs.submit(name, 'echo "<script>alert(1)</script>" >"$1"', output=output)
    jobs.until(name, "completed")
    answer = jobs.get(name, "/chunks/0/output")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_a_link_out_of_the_job_directory_is_not_followed(
    jobs: Any, problem: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "0.txt").write_text("secret")
    jobs.submit("linked")
    jobs.until("linked", "completed")
    assert jobs.get("linked", "/chunks/0/output").text == "0\n"
    Path(jobs.folder, "out").rename(jobs.folder / "before")
    Path(jobs.folder, "out").symlink_to(elsewhere)
    assert problem(jobs.get("linked", "/chunks/0/output")) == (404, "not-here")
    Path(jobs.folder, "out").unlink()
    Path(jobs.folder, "out").mkdir()
    Path(jobs.folder, "out/0.txt").symlink_to("../before/0.txt")
    assert jobs.get("linked", "/chunks/0/output").text == "0\n", "a link inside of it may be followed"


def test_a_file_that_becomes_shorter_while_it_is_sent_ends_the_connection_and_nothing_else(
    jobs: Any, studio: Any
) -> None:
    jobs.submit("shrunk", output="out/{chunk}.bin")
    jobs.until("shrunk", "completed")
    path = Path(jobs.folder, "out/0.bin")
    os.truncate(path, 64 << 20)  # more than the operating system holds for a connection
    got: list[int] = []

    def receive() -> None:
        with httpx.stream("GET", f"{studio.api}/jobs/shrunk/chunks/0/output", verify=False, timeout=60) as answer:
            assert answer.headers["content-length"] == str(64 << 20)
            for piece in answer.iter_raw():
                got.append(len(piece))
                os.truncate(path, 1 << 20)

    with pytest.raises(httpx.RemoteProtocolError):
        receive()
    assert 0 < sum(got) < 64 << 20
    assert jobs.get("shrunk", "/chunks/0/output").status_code == 200
    assert not [line for line in studio.said if "Traceback" in line or "ASGI" in line]


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(jobs: Any, problem: Any) -> None:
    jobs.submit("piped", output="out/{chunk}.mp4")
    jobs.until("piped", "completed")
    for path in (Path(jobs.folder, "out/0.mp4"), log_path(jobs.folder, "piped", 0, 1)):
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
    assert problem(jobs.get("piped", "/chunks/0/output")) == (404, "not-here")
    assert problem(jobs.get("piped", "/poster")) == (404, "no-poster")
    assert problem(jobs.get("piped", "/chunks/0/attempts/1/log")) == (404, "no-log")


def test_what_is_only_in_an_artifact_store_is_told_with_its_url(
    jobs: Any, problem: Any, served_worker: Any, render: list[str], tmp_path: Path
) -> None:
    store = tmp_path / "store of artifacts"
    (tmp_path / "token").write_text("a-token-of-16-and-more")
    worker = served_worker(directory=tmp_path / "work", token="a-token-of-16-and-more")
    try:
        options = {"url": worker.url, "artifacts": store.as_uri(), "token_file": str(tmp_path / "token")}
        film = {"output": "out/{chunk}.mp4", "merge": {"stitcher": "ffmpeg", "output": "films/the film.mp4"}}
        given = {
            "job": jobs.document("afar", **film) | {"command": render},
            "jobDir": str(jobs.folder),
            "worker": {"name": "http", "options": options},
        }
        answer = jobs.http.post("jobs", json=given)
        assert answer.status_code == 201, answer.text
        jobs.until("afar", "completed")
    finally:
        worker.close()
    places = {"/film": "films/the film.mp4", "/chunks/1/output": "out/1.mp4"}
    for path, place in places.items():
        here = jobs.get("afar", path)  # the parts were brought here for the join
        assert here.status_code == 200
        Path(jobs.folder, place).unlink()
        answer = jobs.get("afar", path)
        assert problem(answer) == (404, "elsewhere")
        assert Path(unquote(urlsplit(answer.json()["url"]).path)).read_bytes() == here.content, path
    (jobs.folder / "out/0.mp4").unlink()
    assert problem(jobs.get("afar", "/poster")) == (404, "no-poster")


def test_a_playlist_makes_ffmpeg_read_nothing_else(rendered: Any, jobs: Any, problem: Any) -> None:
    """A file says itself what it is, whatever its name says."""
    list_of_another = f"ffconcat version 1.0\nfile {rendered.folder}/film.mp4\n"
    playlist = f"#EXTM3U\n#EXTINF:1,\n{rendered.folder}/out/0.mp4\n#EXT-X-ENDLIST\n"
    for index, text in enumerate((list_of_another, playlist)):
        (jobs.folder / "text").write_text(text)
        jobs.submit(f"playlist-{index}", 'cat text >"$1"', chunks=1, output="out/{chunk}.mp4")
        jobs.until(f"playlist-{index}", "completed")
        assert problem(jobs.get(f"playlist-{index}", "/poster")) == (404, "no-poster")
