"""A stand-in for Google Cloud Run: the Admin API over gRPC, services behind a front door, tasks that are processes.

Instances and tasks run the real entry point of the worker image, `heliostat_gcp.worker`. What is answered, and how
things fail, follows the reference of the Cloud Run Admin API v2 and "Troubleshoot Cloud Run issues".
"""

from fake_cloud_run.cloud import FakeCloudRun

__all__ = ["FakeCloudRun"]
