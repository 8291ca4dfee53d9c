"""Heliostat on a Dask cluster: attempts are tasks of Dask distributed."""
