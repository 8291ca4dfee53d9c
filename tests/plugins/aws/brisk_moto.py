"""What moto does anew with every request, done once: it lists its own folder, and asks for all attributes of a queue
with every message. Its answers are the same."""

from __future__ import annotations

import functools

from moto import backends
from moto.core import responses, utils
from moto.sqs import models


def make_moto_brisk() -> None:
    """In this process, from now on."""
    modules = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules
    named = functools.cache(utils.camelcase_to_underscores)
    responses.camelcase_to_underscores = named  # type: ignore[attr-defined]
    models.camelcase_to_underscores = named  # type: ignore[attr-defined]
    models.SQSBackend.is_message_valid_based_on_retention_period = _is_kept  # type: ignore[method-assign]


def _is_kept(self: models.SQSBackend, queue_name: str, message: models.Message) -> bool:
    seconds = self.get_queue(queue_name).message_retention_period  # type: ignore[attr-defined]
    return bool(seconds + message.sent_timestamp / 1000 > utils.unix_time())
