"""The bucket, over Google's own library. Properties: https://cloud.google.com/storage/docs/json_api/v1/buckets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from heliostat.errors import HeliostatError, Misconfigured
from heliostat_gcp.deploy.resource import Found, Policy, Properties, Resource

if TYPE_CHECKING:
    from heliostat_gcp.deploy.google import Google

KNOWN: Final = {"iamConfiguration", "labels", "lifecycle", "location", "softDeletePolicy"}
"""Properties that are looked at, and can be set."""


class Bucket(Resource):
    kind = "bucket"

    def __init__(self, google: Google, bucket: str, deployment: str, project_number: str) -> None:
        super().__init__(f"gs://{bucket}")
        self.bucket = bucket
        self._google = google
        self._deployment = deployment
        self._project_number = project_number

    def find(self) -> Found | None:
        """Raises Misconfigured for one that is somebody else's: names are shared by all the world."""
        from google.api_core.exceptions import Forbidden, NotFound

        try:
            found = self._google.storage.get_bucket(self.bucket)
        except NotFound:
            return None
        except Forbidden as error:
            raise Misconfigured(
                f"bucket {self.name} is somebody else's, or the caller may not look at it; choose another with"
                " --parameter BucketName=NAME, or see `heliostat gcp policy --for deployer`"
            ) from error
        if str(found.project_number) != self._project_number:
            raise Misconfigured(
                f"bucket {self.name} belongs to another project; choose another with --parameter BucketName=NAME"
            )
        return Found(properties=_properties(found), is_ours=found.labels.get("heliostat") == self._deployment)

    def create(self, wanted: Properties) -> None:
        bucket = self._google.storage.bucket(self.bucket)
        _set(bucket, wanted)
        self._google.storage.create_bucket(
            bucket, project=self._google.place.project, location=wanted["location"], timeout=60
        )

    def update(self, found: Found, wanted: Properties) -> None:
        """Raises Misconfigured for one in another place, which cannot be moved."""
        if found.properties["location"] != wanted["location"]:
            raise Misconfigured(
                f"bucket {self.name} lies in {found.properties['location']}, and cannot be moved to"
                f" {wanted['location']}; choose another with --parameter BucketName=NAME"
            )
        bucket = self._google.storage.get_bucket(self.bucket)
        _set(bucket, wanted)
        bucket.patch(if_metageneration_match=bucket.metageneration)

    def delete(self) -> None:
        """With everything in it. Raises ArtifactError, and Misconfigured when something is left."""
        from google.api_core.exceptions import Conflict

        asyncio.run(_empty(self.name))
        try:
            self._google.storage.bucket(self.bucket).delete()
        except Conflict as error:  # older versions of objects, where somebody has switched versioning on
            raise Misconfigured(
                f"bucket {self.name} is not empty yet; run `gcloud storage rm --recursive {self.name}`, which deletes"
                " older versions too"
            ) from error

    def count(self, most: int) -> int:
        """Objects, up to so many."""
        return sum(1 for _ in self._google.storage.list_blobs(self.bucket, max_results=most, fields=_NAMES))

    def policy(self) -> Policy:
        policy: Policy = (
            self._google.storage.bucket(self.bucket).get_iam_policy(requested_policy_version=3).to_api_repr()
        )
        return policy

    def set_policy(self, policy: Policy) -> None:
        from google.api_core.iam import Policy as StoragePolicy

        self._google.storage.bucket(self.bucket).set_iam_policy(StoragePolicy.from_api_repr(policy))


_NAMES: Final = "items(name),nextPageToken"


async def _empty(url: str) -> None:
    from heliostat_gcp.artifacts import GcsArtifactStore
    from heliostat_gcp.options import GcsOptions

    async with GcsArtifactStore(GcsOptions(url=url)) as store:
        await store.delete("")


def _properties(bucket: Any) -> Properties:
    kept = bucket.soft_delete_policy.retention_duration_seconds
    return {
        "iamConfiguration": dict(bucket.iam_configuration),
        "labels": dict(bucket.labels),
        "lifecycle": {"rule": [dict(rule) for rule in bucket.lifecycle_rules]},
        "location": bucket.location.lower(),
        "softDeletePolicy": {"retentionDurationSeconds": None if kept is None else int(kept)},
    }


def _set(bucket: Any, wanted: Properties) -> None:
    """All but the location."""
    if unknown := set(wanted) - KNOWN:
        raise HeliostatError(f"properties of a bucket that nobody sets: {', '.join(sorted(unknown))}")
    access = wanted["iamConfiguration"]
    bucket.labels = {**bucket.labels, **wanted["labels"]}
    bucket.lifecycle_rules = wanted["lifecycle"]["rule"]
    bucket.iam_configuration.public_access_prevention = access["publicAccessPrevention"]
    bucket.iam_configuration.uniform_bucket_level_access_enabled = access["uniformBucketLevelAccess"]["enabled"]
    bucket.soft_delete_policy.retention_duration_seconds = wanted["softDeletePolicy"]["retentionDurationSeconds"]
