"""Errors of Dask, as errors of Heliostat."""

from __future__ import annotations

from concurrent.futures import CancelledError

from distributed import KilledWorker

from heliostat.errors import AttemptError, Misconfigured, WorkerLost


def mapped(error: Exception) -> AttemptError:
    """What an exception of a Dask future, or of handing over a task, means for the attempt."""
    match error:
        case KilledWorker():
            return WorkerLost(f"Dask has lost workers with this attempt too often ({error})")
        case CancelledError():  # Dask's own, not asyncio's
            return WorkerLost(f"Dask has let go of the attempt ({error})")
        case ImportError() | AttributeError():
            return Misconfigured(
                f"a Dask worker cannot load the attempt ({error}); install the same heliostat and heliostat-dask there"
            )
        case _:
            said = " ".join(str(error).split())
            return WorkerLost(f"Dask could not run the attempt ({type(error).__name__}: {said})")
