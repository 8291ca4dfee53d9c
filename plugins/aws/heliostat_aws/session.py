"""Clients of AWS services. boto3 is imported here, when the first client is opened."""

from __future__ import annotations

import functools
import os
from typing import Any

from msgspec import Struct

from heliostat.errors import Misconfigured


class Connection(Struct, frozen=True, kw_only=True):
    """Where AWS is. What is None comes from boto3's usual places: environment, profile, instance."""

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None


@functools.cache
def _loader() -> Any:
    """Reads the descriptions of services, which takes longer than all the rest, and keeps them for the next client."""
    from botocore.loaders import Loader

    return Loader()


def open_client(service: str, connection: Connection, **config: Any) -> Any:
    """A boto3 client; `config` goes to `botocore.config.Config`. Raises Misconfigured."""
    import boto3
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, NoRegionError, ProfileNotFound

    try:
        core = botocore.session.Session(profile=connection.profile)
        core.register_component("data_loader", _loader())
        session = boto3.Session(botocore_session=core, region_name=connection.region or os.environ.get("AWS_REGION"))
        if session.get_credentials() is None:
            raise Misconfigured(
                "there are no AWS credentials; log in with `aws sso login`, set AWS_PROFILE, or AWS_ACCESS_KEY_ID and"
                " AWS_SECRET_ACCESS_KEY"
            )
        return session.client(service, endpoint_url=connection.endpoint_url, config=Config(**config))
    except NoRegionError:
        raise Misconfigured(
            "no AWS region is chosen; give region=…, or set AWS_REGION or the profile's region"
        ) from None
    except ProfileNotFound:
        raise Misconfigured(
            f"there is no AWS profile {connection.profile!r}; `aws configure list-profiles` lists those there are"
        ) from None
    except BotoCoreError as error:  # half of the credentials, say, or a region that is none
        raise Misconfigured(
            f"AWS cannot be reached as it is set up ({error}); correct the profile or environment"
        ) from None
