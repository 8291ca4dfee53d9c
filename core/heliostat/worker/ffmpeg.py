"""Which ffmpeg commands use."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path


def find_ffmpeg(environ: Mapping[str, str] | None = None) -> str | None:
    """The path of an ffmpeg: `HELIOSTAT_FFMPEG` if set, else one on `PATH`, else that of the package imageio-ffmpeg
    (`pip install heliostat[video]`), else None. Looks into `environ`, by default this process's own; runs nothing."""
    environ = os.environ if environ is None else environ
    chosen = environ.get("HELIOSTAT_FFMPEG")
    return chosen or shutil.which("ffmpeg", path=environ.get("PATH", os.defpath)) or _packaged()


@functools.cache
def _packaged() -> str | None:
    # imageio_ffmpeg.get_ffmpeg_exe() would start the program to try it, a tenth of a second for every process.
    package = importlib.util.find_spec("imageio_ffmpeg")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for binary in sorted(Path(folder, "binaries").glob("ffmpeg-*")):
            if os.access(binary, os.X_OK):
                return str(binary)
    return None
