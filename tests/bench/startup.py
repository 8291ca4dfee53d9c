"""How long a person waits: for the help, and for the first chunk.

    uv run python tests/bench/startup.py [--runs 15]

Run after `python -m compileall` or an ordinary pip installation: modules are to be compiled already, as they are for a
user's second call.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STAMP = "import sys, time; open(sys.argv[1], 'w').write(repr(time.time()))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    program = shutil.which("heliostat", path=str(Path(sys.executable).parent)) or sys.exit("install heliostat first")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment["HELIOSTAT_DB"] = str(folder / "jobs.db")
        helps, firsts = [], []
        for run in range(runs + 1):
            began = time.time()
            subprocess.run([program, "--help"], env=environment, stdout=subprocess.DEVNULL, check=True)
            helps.append(time.time() - began)
            stamp = folder / f"{run}.stamp"
            job = folder / "job.json"
            command = [sys.executable, "-I", "-S", "-c", STAMP, "{output}"]
            spec = {"frames": 1, "fps": 24, "output": stamp.name, "command": command}
            job.write_text(json.dumps(spec))
            began = time.time()
            subprocess.run([program, "render", job, "--progress", "none"], env=environment, check=True)
            firsts.append(float(stamp.read_text()) - began)
    for what, seconds in (("heliostat --help", helps[1:]), ("heliostat render to its first chunk", firsts[1:])):
        print(f"{what:<38} median {statistics.median(seconds):.3f} s   {min(seconds):.3f} to {max(seconds):.3f} s")


if __name__ == "__main__":
    main()
