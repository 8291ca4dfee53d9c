"""Files that are sent: to clients that leave."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from heliostat.studio import files
from heliostat.studio.files import FileAnswer, open_inside


def test_only_regular_files_are_opened_and_nothing_else_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    before = os.listdir("/proc/self/fd")
    for name in ("folder", "pipe", "device", "missing", "", "."):
        assert open_inside(tmp_path, name) is None, name
    assert os.listdir("/proc/self/fd") == before


async def test_a_client_that_leaves_is_sent_nothing_more(tmp_path: Path) -> None:
    """As a browser does that seeks in a film; the server's `send` does not tell."""
    (tmp_path / "film.mp4").write_bytes(bytes(20 * files.PIECE))
    file = open_inside(tmp_path, "film.mp4")
    assert file is not None
    sent: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            sent.append(len(message["body"]))

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "headers": []}
    await FileAnswer(file, "video/mp4")(scope, gone, send)
    assert sum(sent) <= files.PIECE
    assert file.closed
