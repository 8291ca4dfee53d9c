"""What this distribution adds to Heliostat: the worker adapter `dask`."""

from __future__ import annotations

from heliostat import Register, hookimpl
from heliostat_dask.adapter import DaskAdapter, DaskOptions


@hookimpl
def register_worker_adapters(register: Register) -> None:
    register("dask", DaskAdapter, options=DaskOptions, summary="Tasks on a Dask cluster that shares the job directory.")
