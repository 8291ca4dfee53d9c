"""The distribution in this folder is a stranger's: its tests run in an environment of their own, by `test_dask.py`."""

from __future__ import annotations

collect_ignore = ["heliostat-dask"]
