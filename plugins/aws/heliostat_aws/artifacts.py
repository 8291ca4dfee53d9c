"""The artifact store `s3`: a bucket of Amazon S3, or a part of one, or of a service that speaks as S3 does.

S3 keeps a checksum of its own, by which it checks what it receives.
"""

from __future__ import annotations

from typing import Final

from heliostat.errors import ArtifactError
from heliostat.worker import Bucket, BucketStore, ObjectService
from heliostat_aws.options import S3Options
from heliostat_aws.s3_errors import artifact_error
from heliostat_aws.s3_objects import S3Objects
from heliostat_aws.session import Connection, open_client

S3: Final = ObjectService(
    bucket="an S3 bucket",
    schemes=("s3",),
    settings=Connection.__struct_fields__,
    longest_key=1024,  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
)


class S3ArtifactStore(BucketStore):
    def __init__(self, options: S3Options) -> None:
        super().__init__(Bucket.parse(options.url, S3))

    def connect(self) -> S3Objects:
        """Raises Misconfigured without a region, credentials or the profile that was named."""
        connection = Connection(**self.bucket.settings)
        client = open_client(
            "s3",
            connection,
            retries={"mode": "standard", "total_max_attempts": 5},
            max_pool_connections=self.at_once,
            connect_timeout=10,
            tcp_keepalive=True,
            signature_version="s3v4",
            # The store's own digests are of the whole content, which those of botocore are not always.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # Services other than Amazon's seldom have a name for every bucket.
            s3={"addressing_style": "path"} if connection.endpoint_url else {},
        )
        check_on = self.threads.check_on
        client.meta.events.register("before-send.s3", lambda **_: check_on())  # before every try
        return S3Objects(client, self.bucket.name, check_on)

    def mapped(self, error: Exception, what: str) -> ArtifactError:
        return artifact_error(error, what)
