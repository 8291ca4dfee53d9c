"""What is wrong with a document, as one line that begins with the place: `$.chunks[3].frameCount: …`."""

from __future__ import annotations

import difflib
import re
from typing import Any, get_args, get_type_hints

import msgspec

from heliostat.errors import SpecError

_PLACE = re.compile(r" - at `(?P<place>[^`]*)`$")
_KEY = re.compile(r" - at `key` in `(?P<place>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`$")


def invalid(error: msgspec.ValidationError, form: type[msgspec.Struct], document: object = None) -> SpecError:
    """A SpecError for what msgspec says of a document of this form; `document` is the document where it is at hand."""
    text = str(error)
    place = "$"
    if key := _KEY.search(text):
        return SpecError("a key is no text; write it in quotes", path=key["place"])
    if found := _PLACE.search(text):
        text, place = text[: found.start()], found["place"]
    if unknown := _UNKNOWN.match(text):
        return SpecError(_unknown_key(unknown[1], _struct_at(form, place)), path=place)
    if missing := _MISSING.match(text):
        return SpecError(f"the key {missing[1]!r} is missing", path=place)
    if place.endswith("[...]"):
        place = _culprit(place, document)
    if text.startswith("Expected "):
        text = "e" + text[1:].replace("`", "").replace(" | ", " or ")
    return SpecError(text, path=place)


def _unknown_key(key: str, struct: type[msgspec.Struct] | None) -> str:
    if struct is None:
        return f"unknown key {key!r}"
    known = [field.encode_name for field in msgspec.structs.fields(struct)]
    if close := difflib.get_close_matches(key, known, n=1):
        return f"unknown key {key!r}; did you mean {close[0]!r}?"
    return f"unknown key {key!r}; there are {', '.join(sorted(known))}"


def _struct_at(form: type[msgspec.Struct], place: str) -> type[msgspec.Struct] | None:
    """The type that stands at a path such as `$.chunks[3]`."""
    kind: Any = form
    for key in re.findall(r"\.(\w+)", place):
        names = {field.encode_name: field.name for field in msgspec.structs.fields(kind)}
        if key not in names:
            return None
        kind = _struct_in(get_type_hints(kind)[names[key]])
        if kind is None:
            return None
    return kind  # type: ignore[no-any-return]


def _struct_in(hint: Any) -> type[msgspec.Struct] | None:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    return next((struct for part in get_args(hint) if (struct := _struct_in(part))), None)


def _culprit(place: str, document: object) -> str:
    """msgspec names no key of a table of strings: find the first value that is no string."""
    table = document
    for key in re.findall(r"\.(\w+)", place):
        table = table.get(key) if isinstance(table, dict) else None
    if isinstance(table, dict):
        for key, value in table.items():
            if not isinstance(value, str):
                where = f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
                return place.removesuffix("[...]") + where
    return place
