"""Where an artifact store lies in S3, as its URL says it, and the object key of every artifact."""

from __future__ import annotations

from typing import Final, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from msgspec import Struct

from heliostat.errors import ArtifactError, SpecError
from heliostat_aws.session import Connection

_FORM: Final = "s3://bucket/prefix?region=…&profile=…&endpoint_url=…, where all but the bucket may be left out"
_LONGEST: Final = 1024
"""Bytes of an object key, https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html."""


class S3Location(Struct, frozen=True, kw_only=True):
    """A bucket, and the prefix in it that all keys of the store lie under."""

    bucket: str
    prefix: str
    """Ends with a slash, or is empty."""
    connection: Connection

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises SpecError."""
        try:
            parts = urlsplit(url)
            query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:
            raise SpecError(f"{url!r} is no URL of an S3 bucket; write {_FORM}") from None
        prefix = unquote(parts.path).strip("/")
        known = set(Connection.__struct_fields__)
        well_formed = (
            parts.scheme == "s3"
            and parts.netloc.isascii()
            and not set(parts.netloc) & set("@:")
            and bool(parts.netloc)
            and not parts.fragment
            and (not prefix or _is_key(prefix))
            and all(name in known and value for name, value in query)
        )
        if not well_formed:
            raise SpecError(f"{url!r} is no URL of an S3 bucket; write {_FORM}")
        return cls(bucket=parts.netloc, prefix=f"{prefix}/" if prefix else "", connection=Connection(**dict(query)))

    @property
    def address(self) -> str:
        """The URL without what stands behind the question mark and without a trailing slash."""
        return f"s3://{self.bucket}/{quote(self.prefix)}".rstrip("/")

    @property
    def url(self) -> str:
        """The URL that opens the same store with the same connection."""
        known = {name: value for name in Connection.__struct_fields__ if (value := getattr(self.connection, name))}
        return self.address + (f"?{urlencode(known)}" if known else "")

    def object_key(self, key: str) -> str:
        """Raises ArtifactError for what is no key."""
        if not _is_key(key):
            raise ArtifactError(
                f"{key!r} is no key of {self.address}; keys are relative paths without control characters, such as"
                " jobs/1/part.mp4"
            )
        whole = self.prefix + key
        if len(whole.encode()) > _LONGEST:
            raise ArtifactError(f"the key {key!r} is too long for S3, which takes {_LONGEST} bytes; shorten it")
        return whole

    def object_prefix(self, prefix: str) -> str:
        """Raises ArtifactError for a prefix in whose folder no key can lie."""
        folder, slash, _ = prefix.rpartition("/")
        if folder:
            self.object_key(f"{folder}{slash}any")
        return self.prefix + prefix

    def key_of(self, object_key: str) -> str | None:
        """The artifact's key; None for an object that is no artifact, such as the empty ones that stand for folders."""
        key = object_key.removeprefix(self.prefix)
        return key if _is_key(key) else None


def _is_key(key: str) -> bool:
    """Control characters cannot stand in the XML that tells S3 what to delete, nor lone surrogates in a URL."""
    printable = all(" " <= character != "\x7f" and not "\ud800" <= character <= "\udfff" for character in key)
    return printable and {"", ".", ".."}.isdisjoint(key.split("/"))
