"""The artifact store `gcs`: a bucket of Google Cloud Storage, or a part of one.

Cloud Storage keeps a CRC32C of its own, by which it checks what it receives. Google's libraries, which take their time,
are imported on a thread when a store is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar, cast

from heliostat.errors import ArtifactError
from heliostat.worker import Bucket, BucketStore, ObjectService
from heliostat_gcp.options import Connection, GcsOptions

if TYPE_CHECKING:
    from heliostat_gcp.gcs_objects import GcsObjects

T = TypeVar("T")

GCS: Final = ObjectService(
    bucket="a Cloud Storage bucket",
    schemes=("gcs", "gs"),
    settings=Connection.__struct_fields__,
    longest_key=1024,  # https://cloud.google.com/storage/docs/objects#naming
)


class GcsArtifactStore(BucketStore):
    def __init__(self, options: GcsOptions) -> None:
        super().__init__(Bucket.parse(options.url, GCS))

    def connect(self) -> GcsObjects:
        """Raises Misconfigured without credentials."""
        from heliostat_gcp.gcs_objects import GcsObjects
        from heliostat_gcp.session import open_session

        session = open_session(Connection(**self.bucket.settings), self.threads.check_on, self.at_once)
        return GcsObjects(session, self.bucket.name, self.threads)

    def mapped(self, error: Exception, what: str) -> ArtifactError:
        from heliostat_gcp.gcs_errors import artifact_error

        return artifact_error(error, what)

    async def on_objects(self, work: Callable[[GcsObjects], T]) -> T:
        """Do something with the bucket's objects, on a thread. Raises ArtifactError."""

        return await self._on_thread("", lambda: work(cast("GcsObjects", self._open_objects)))
