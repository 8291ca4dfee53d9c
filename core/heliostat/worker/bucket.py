"""Where an artifact store lies in a bucket, as its URL says it, and the object key of every artifact."""

from __future__ import annotations

from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from msgspec import Struct

from heliostat.errors import ArtifactError, SpecError


class ObjectService(Struct, frozen=True, kw_only=True):
    """What is particular about the URLs of one service, such as `s3://bucket/prefix?region=…`."""

    bucket: str
    """How a bucket of it is called, such as `an S3 bucket`."""
    schemes: tuple[str, ...]
    """All that may be written; the first is."""
    settings: tuple[str, ...]
    """What may stand behind the question mark, in the order in which it is written."""
    longest_key: int
    """Bytes of an object key."""


class Bucket(Struct, frozen=True, kw_only=True):
    """A bucket, and the prefix in it that all keys of the store lie under."""

    service: ObjectService
    name: str
    prefix: str
    """Ends with a slash, or is empty."""
    settings: dict[str, str]

    @classmethod
    def parse(cls, url: str, service: ObjectService) -> Self:
        """Raises SpecError."""
        form = f"{service.schemes[0]}://bucket/prefix?{'&'.join(f'{name}=…' for name in service.settings)}"
        refused = SpecError(
            f"{url!r} is no URL of {service.bucket}; write {form}, where all but the bucket may be left out"
        )
        try:
            parts = urlsplit(url)
            query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:
            raise refused from None
        prefix = unquote(parts.path).strip("/")
        well_formed = (
            parts.scheme in service.schemes
            and parts.netloc.isascii()
            and not set(parts.netloc) & set("@:")
            and bool(parts.netloc)
            and not parts.fragment
            and (not prefix or _is_key(prefix))
            and all(name in service.settings and value for name, value in query)
        )
        if not well_formed:
            raise refused
        return cls(service=service, name=parts.netloc, prefix=f"{prefix}/" if prefix else "", settings=dict(query))

    @property
    def address(self) -> str:
        """The URL without what stands behind the question mark and without a trailing slash."""
        return f"{self.service.schemes[0]}://{self.name}/{quote(self.prefix)}".rstrip("/")

    @property
    def url(self) -> str:
        """The URL that opens the same store with the same settings. One place has one URL."""
        known = {name: self.settings[name] for name in self.service.settings if name in self.settings}
        return self.address + (f"?{urlencode(known)}" if known else "")

    def object_key(self, key: str) -> str:
        """Raises ArtifactError for what is no key."""
        if not _is_key(key):
            raise ArtifactError(
                f"{key!r} is no key of {self.address}; keys are relative paths without control characters, such as"
                " jobs/1/part.mp4"
            )
        whole = self.prefix + key
        if len(whole.encode()) > self.service.longest_key:
            raise ArtifactError(
                f"the key {key!r} is too long for {self.service.bucket}, which takes {self.service.longest_key} bytes;"
                " shorten it, or the store's prefix"
            )
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
    """Control characters cannot stand in requests that list what to delete, nor lone surrogates in a URL."""
    printable = all(" " <= character != "\x7f" and not "\ud800" <= character <= "\udfff" for character in key)
    return printable and {"", ".", ".."}.isdisjoint(key.split("/"))
