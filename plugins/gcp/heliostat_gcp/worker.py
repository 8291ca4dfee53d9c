"""What the worker image runs on Cloud Run: `python -m heliostat_gcp.worker`, a service or a task of a job.

| variable | of | meaning |
|---|---|---|
| `HELIOSTAT_AUDIENCE` | services | whom callers' ID tokens have to be made out for |
| `HELIOSTAT_CALLERS` | services | e-mail addresses of those who may call, with commas between them |
| `HELIOSTAT_SLOTS` | services | chunks at once in an instance, 1 unless given |
| `HELIOSTAT_CACHE_MB` | both | inputs that are kept for later chunks, 512 unless given; files take memory there |
| `HELIOSTAT_ARTIFACTS` | both | the artifact store that adapters take when they are not told another |
| `PORT`, `CLOUD_RUN_…` | both | set by Cloud Run |
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from heliostat import open_artifact_store
from heliostat.worker import WorkerServer

GRACE: Final = 2.0
"""Seconds between SIGTERM and SIGKILL for a command."""
DRAIN: Final = 3.0
"""Seconds that running chunks get to end once Cloud Run ends the instance, which it does after 10 in all."""


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        if "CLOUD_RUN_JOB" in os.environ:
            from heliostat_gcp.task import run_task

            return asyncio.run(run_task(root(), cache_limit()))
        asyncio.run(serve())
    except KeyError as missing:
        sys.stderr.write(f"the environment variable {missing} is not set; deploy with `heliostat gcp deploy`\n")
        return 2
    return 0


async def serve() -> None:
    """Until Cloud Run ends the instance."""
    from heliostat_gcp.callers import CERTS, Callers

    callers = Callers(
        os.environ["HELIOSTAT_AUDIENCE"],
        [caller.strip() for caller in os.environ["HELIOSTAT_CALLERS"].split(",")],
        certs_url=os.environ.get("HELIOSTAT_CERTS_URL", CERTS),
    )
    server = WorkerServer(
        callers.allow,
        open_artifact_store,
        root=root(),
        cache_limit=cache_limit(),
        slots=int(os.environ.get("HELIOSTAT_SLOTS", "1")),
        grace=GRACE,
        drain=DRAIN,
    )
    await server.serve(os.environ.get("HELIOSTAT_HOST", "0.0.0.0"), int(os.environ["PORT"]))


def root() -> Path:
    """Where chunks run."""
    return Path(tempfile.gettempdir()) / "heliostat"


def cache_limit() -> int:
    """Bytes."""
    return int(os.environ.get("HELIOSTAT_CACHE_MB", "512")) << 20


if __name__ == "__main__":
    sys.exit(main())
