#!/bin/sh
# What the worker image runs. Lambda says where its Runtime API is, and names the handler, or takes the usual one.
# Everywhere else the arguments are those of `heliostat`; without any it serves chunks, as a service of Cloud Run does.
set -eu
if [ -n "${AWS_LAMBDA_RUNTIME_API:-}" ]; then
  exec python -m awslambdaric "${1:-heliostat_aws.handler.handle}"
fi
[ "$#" -gt 0 ] || set -- worker serve
exec heliostat "$@"
