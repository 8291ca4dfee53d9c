"""The fields of a form, from the JSON Schema of an options type."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct


class FieldKind(StrEnum):
    """How something is entered."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    SWITCH = "switch"
    CHOICE = "choice"
    LINES = "lines"
    """A list of texts, one in each line."""
    PAIRS = "pairs"
    """Texts by name, `NAME=text` in each line."""
    JSON = "json"
    """Everything else."""


class OptionField(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One option. A field that is left empty is not sent: the option's default holds."""

    name: str
    """As in JSON."""
    label: str
    kind: FieldKind
    hint: str = ""
    required: bool = False
    default: Any = None
    """None where there is none, or where that is the default."""
    choices: list[Any] = []
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    shortest: int | None = None
    longest: int | None = None
    pattern: str | None = None
    """A regular expression that is found in the text."""


_KINDS: Final = {
    "string": FieldKind.TEXT,
    "integer": FieldKind.INTEGER,
    "number": FieldKind.NUMBER,
    "boolean": FieldKind.SWITCH,
}
_BOUNDS: Final = {
    "minimum": "least",
    "maximum": "most",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
    "minLength": "shortest",
    "maxLength": "longest",
    "pattern": "pattern",
}


def option_fields(schema: Mapping[str, Any]) -> list[OptionField]:
    """`schema`: of an object, as msgspec writes it; with `$defs` of its own where it refers to other types."""
    definitions = schema.get("$defs", {})
    required = schema.get("required", ())
    return [_field(name, given, definitions, name in required) for name, given in schema.get("properties", {}).items()]


def schema_of(kind: type[Struct]) -> dict[str, Any]:
    """The JSON Schema of a record, as `option_fields` takes it."""
    (reference,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    return {**components.pop(reference["$ref"].rpartition("/")[2]), "$defs": components}


def _field(name: str, given: Mapping[str, Any], definitions: Mapping[str, Any], required: bool) -> OptionField:
    shown, is_optional = _without_null(_resolved(given, definitions), definitions)
    kind = _kind(shown)
    choices = shown["enum"] if kind is FieldKind.CHOICE else []
    if kind is FieldKind.SWITCH and (is_optional or required):  # neither on nor off is an answer too
        kind, choices = FieldKind.CHOICE, [True, False]
    default = given.get("default")
    return OptionField(
        name=name,
        label=_label(name),
        kind=kind,
        hint=given.get("description", ""),
        required=required,
        default=default if default not in ([], {}) else None,
        choices=choices,
        **{field: shown[bound] for bound, field in _BOUNDS.items() if bound in shown},
    )


def _kind(schema: Mapping[str, Any]) -> FieldKind:
    if "enum" in schema:
        return FieldKind.CHOICE
    kind = schema.get("type")
    if kind == "array" and schema.get("items") == {"type": "string"} and "prefixItems" not in schema:
        return FieldKind.LINES
    if kind == "object" and schema.get("additionalProperties") == {"type": "string"} and "properties" not in schema:
        return FieldKind.PAIRS
    return _KINDS.get(str(kind), FieldKind.JSON)


def _without_null(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """What a value may be that is not null, and whether it may be null."""
    if None in schema.get("enum", ()):
        return {"enum": [choice for choice in schema["enum"] if choice is not None]}, True
    if "anyOf" not in schema:
        return schema, False
    others = [one for one in schema["anyOf"] if one.get("type") != "null"]
    is_optional = len(others) < len(schema["anyOf"])
    return (_resolved(others[0], definitions) if len(others) == 1 else {}), is_optional


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    return definitions.get(reference.rpartition("/")[2], {}) if reference else schema


def _label(name: str) -> str:
    """`token_file` as `Token file`."""
    words = "".join(f" {char.lower()}" if char.isupper() else char for char in name).replace("_", " ").strip()
    return words[:1].upper() + words[1:]
