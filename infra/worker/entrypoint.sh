#!/bin/sh
# What the worker image runs. Lambda says where its Runtime API is, and names the handler, or takes the usual one. Cloud
# Run names the service or the job. Elsewhere, or with arguments, these are those of `heliostat`; without any it serves
# chunks to whoever has the token.
set -eu
if [ -n "${AWS_LAMBDA_RUNTIME_API:-}" ]; then
  exec python -m awslambdaric "${1:-heliostat_aws.handler.handle}"
fi
if [ "$#" -eq 0 ] && [ -n "${K_SERVICE:-}${CLOUD_RUN_JOB:-}" ]; then
  exec python -m heliostat_gcp.worker
fi
[ "$#" -gt 0 ] || set -- worker serve
exec heliostat "$@"
