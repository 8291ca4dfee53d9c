"""The sunrise film with as many workers as cores: its total time beside the chunks' own work.

    uv run python tests/bench/film.py [--runs 3]

Prints total time / (sum of the chunks' own durations / cores), program start and join included.
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

EXAMPLE = Path(__file__).parents[2] / "core/examples/sunrise"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    cores = len(os.sched_getaffinity(0))
    ratios = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "sunrise"
            shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("chunks", "*.mp4", ".heliostat"))
            command = [sys.executable, "-m", "heliostat", "render", folder / "job.toml", "--db", folder / "jobs.db"]
            began = time.perf_counter()
            done = subprocess.run(
                [*command, "--progress", "json", "--concurrency", str(cores)], stdout=subprocess.PIPE, check=True
            )
            total = time.perf_counter() - began
            events = [json.loads(line) for line in done.stdout.splitlines()]
            work = sum(event["result"]["duration"] for event in events if event["type"] == "chunk_succeeded")
            ratios.append(total * cores / work)
            print(
                f"{cores} cores: {total:.2f} s in all, {work:.2f} s of chunks' own work, ratio {ratios[-1]:.3f}",
                flush=True,
            )
    print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
