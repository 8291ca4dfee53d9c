"""Where the Heliostat that runs was installed from, so that a new plugin finds the same one."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote, urlsplit


def uv_source(direct_url: str | None) -> str | None:
    """An entry for `[tool.uv.sources]`, from the text of a distribution's `direct_url.json` ("Direct URL Data
    Structure", PyPA specifications); None where there is none: it came from a package index, and needs no entry."""
    if direct_url is None:
        return None
    origin = json.loads(direct_url)
    url = urlsplit(origin["url"])
    fields: dict[str, Any]
    if (repository := origin.get("vcs_info")) is not None:
        fields = {repository["vcs"]: origin["url"], "rev": repository["commit_id"]}
    elif url.scheme == "file":
        fields = {"path": unquote(url.path)}
        if origin.get("dir_info", {}).get("editable"):
            fields["editable"] = True
    else:
        fields = {"url": origin["url"]}
    # A JSON string is a TOML string too.
    return "{ " + ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()) + " }"
