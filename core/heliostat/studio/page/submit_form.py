"""The form for a new job. It is the browser that sends it to the API, with the files that belong to the job."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace
from nicegui import ui

from heliostat import list_plugins, plain, to_builtins
from heliostat.studio.api.records import SubmissionOptions
from heliostat.studio.page.option_fields import OptionField, option_fields, schema_of

SETTINGS: Final = {
    "concurrency": ("Chunks at once", "The worker's own choice when empty."),
    "retries": ("Retries", "Further attempts at a chunk after the first one failed."),
    "retryDelay": ("Wait before a retry", "Seconds at the longest; they double with each further one, up to 60."),
    "chunkTimeout": ("Longest attempt", "Seconds that one attempt may take. No limit when empty."),
    "stallTimeout": ("Longest without a frame", "Seconds that an attempt may go without finishing one."),
    "failFast": ("Stop at the first failure", "Else the rest is rendered when a chunk is given up on."),
    "merge": ("Join the chunks", "To the film, when all of them are there."),
    "env": ("Environment", "Variables for every command, NAME=value in each line."),
}
"""What the settings of a job are called, and what they mean."""


class SubmitForm(ui.element, component="submit_form.js"):
    def __init__(self, refusal: str | None, largest: int) -> None:
        """`refusal`: why nothing may be submitted, where that is so. `largest`: bytes that may be sent."""
        super().__init__()
        self._props["workers"] = to_builtins(_workers())
        self._props["settings"] = to_builtins(_settings())
        self._props["refusal"] = refusal or ""
        self._props["largest"] = largest


def _workers() -> list[dict[str, Any]]:
    """The worker adapters that are registered, this machine first."""
    offers = [offer for plugin in list_plugins() for offer in plugin.registers if offer.kind == "worker_adapter"]
    offers.sort(key=lambda offer: offer.name != "local")
    return [
        {
            "name": offer.name,
            "summary": plain(offer.summary),
            "fields": option_fields(offer.schema) if isinstance(offer.schema, dict) else [],
        }
        for offer in offers
    ]


def _settings() -> list[OptionField]:
    fields = {field.name: field for field in option_fields(schema_of(SubmissionOptions))}
    return [replace(fields[name], label=label, hint=hint) for name, (label, hint) in SETTINGS.items()]
