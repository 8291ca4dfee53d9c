"""The environment that a command gets: a few of the worker's own variables and what the specification says."""

from __future__ import annotations

import functools
import os
import sysconfig

from heliostat.contracts.worker import ChunkRequest
from heliostat.worker.ffmpeg import find_ffmpeg

INHERITED = frozenset(
    {
        "PATH",
        "LD_LIBRARY_PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        # Renderers that draw with the graphics card.
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XDG_RUNTIME_DIR",
        "CUDA_VISIBLE_DEVICES",
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        # Commands that fetch their own inputs behind a company's certificate.
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "HELIOSTAT_FFMPEG",
    }
)
"""Variables that commands inherit from the worker, besides `LC_*`. None is known to hold a credential; proxies are left
out because their URLs may hold a password."""

LINEAGE = "HELIOSTAT_COORDINATOR"
"""Tokens by which the processes of a command are found, the outermost first: a command may itself run Heliostat."""


def command_environment(request: ChunkRequest, *, output: str | None, tokens: list[str]) -> dict[str, str]:
    """What the command of one attempt gets. `output` is the path of the attempt's own output, if any.

    Over the inherited variables come those of the request, over these `HELIOSTAT_JOB_ID`, `HELIOSTAT_CHUNK`,
    `HELIOSTAT_ATTEMPT`, `HELIOSTAT_ATTEMPT_ID`, `HELIOSTAT_OUTPUT` and, where there is one, `HELIOSTAT_FFMPEG`. The
    scripts of the Python that runs this are found last on `PATH`, so that a plain `python` works.
    """
    env = {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith("LC_")}
    env |= request.env
    env["PATH"] = os.pathsep.join([env.get("PATH") or os.defpath, _scripts_folder()])
    env["HELIOSTAT_JOB_ID"] = request.job_id
    env["HELIOSTAT_CHUNK"] = str(request.chunk.id)
    env["HELIOSTAT_ATTEMPT"] = str(request.attempt)
    env["HELIOSTAT_ATTEMPT_ID"] = request.attempt_id
    if output is not None:
        env["HELIOSTAT_OUTPUT"] = output
    env[LINEAGE] = ",".join([*os.environ.get(LINEAGE, "").split(","), *tokens]).lstrip(",")
    if ffmpeg := find_ffmpeg(env):
        env["HELIOSTAT_FFMPEG"] = ffmpeg
    return env


@functools.cache
def _scripts_folder() -> str:
    return sysconfig.get_path("scripts")
