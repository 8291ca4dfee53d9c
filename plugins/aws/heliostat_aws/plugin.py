"""What this distribution adds to Heliostat. boto3 is imported when one of these is opened, not here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliostat import Register, hookimpl
from heliostat_aws.options import LambdaOptions, S3Options

if TYPE_CHECKING:
    import typer

    from heliostat_aws.adapter import LambdaAdapter
    from heliostat_aws.artifacts import S3ArtifactStore


def _open_lambda(options: LambdaOptions) -> LambdaAdapter:
    from heliostat_aws.adapter import LambdaAdapter

    return LambdaAdapter(options)


def _open_s3(options: S3Options) -> S3ArtifactStore:
    from heliostat_aws.artifacts import S3ArtifactStore

    return S3ArtifactStore(options)


def _make_commands() -> typer.Typer:
    from heliostat_aws.deploy import make_app

    return make_app()


@hookimpl
def register_worker_adapters(register: Register) -> None:
    register("aws-lambda", _open_lambda, options=LambdaOptions, summary="Invocations of an AWS Lambda function.")


@hookimpl
def register_artifact_stores(register: Register) -> None:
    register("s3", _open_s3, options=S3Options, summary="A bucket of Amazon S3: s3://bucket/prefix.")


@hookimpl
def register_commands(register: Register) -> None:
    register("aws", _make_commands, summary="Deploy Heliostat's worker to AWS, and look after it.")
