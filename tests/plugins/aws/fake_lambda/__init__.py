"""A stand-in for AWS Lambda that runs the real handler in the real `awslambdaric`, without Docker and without AWS.

It serves the public Invoke API, and one Runtime API for each execution environment, which is a process of its own. What
it does and how it fails follows the AWS Lambda API reference, "Lambda runtime API" and "Lambda runtime errors".
"""

from fake_lambda.service import FakeLambda

__all__ = ["FakeLambda"]
