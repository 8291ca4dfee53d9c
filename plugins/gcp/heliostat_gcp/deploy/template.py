"""The template: its text, its parameters, and its resources once the parameters are filled in."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

from msgspec import Struct

from heliostat import from_builtins
from heliostat.errors import SpecError

_PLACE: Final = re.compile(r"\$\{(\w+)\}")
RECORDED: Final = "heliostat-"
"""How the annotations of a service begin that record what parameters it was deployed with."""


class Grant(Struct, frozen=True, rename="pascal"):
    """A role on a resource. `to`: worker, coordinators or callers."""

    role: str
    to: tuple[str, ...]
    permissions: tuple[str, ...]
    """Those of the role that Heliostat uses."""


class Declared(Struct, frozen=True, rename="pascal"):
    """A resource, as the template has it."""

    type: str
    """ServiceAccount, Bucket, Service or Job."""
    name: str
    properties: dict[str, Any]
    grants: tuple[Grant, ...] = ()


@functools.cache
def template_text() -> str:
    return resources.files("heliostat_gcp").joinpath("template.yaml").read_text(encoding="utf-8")


@functools.cache
def parse_template() -> dict[str, Any]:
    import yaml

    parsed: dict[str, Any] = yaml.safe_load(template_text())
    return parsed


def declared(values: Mapping[str, Any]) -> dict[str, Declared]:
    """The resources by their names in the template, with values in the places of `${…}`."""

    filled = _fill_in(parse_template()["Resources"], values)
    return from_builtins(filled, dict[str, Declared])


def default_parameters() -> dict[str, str]:
    """Without those that have to be given."""
    known = parse_template()["Parameters"]
    return {name: str(parameter["Default"]) for name, parameter in known.items() if "Default" in parameter}


def check_parameters(given: Mapping[str, str]) -> None:
    """Raises SpecError when the template has no such parameter, or it cannot be that."""
    known = parse_template()["Parameters"]
    for name, value in given.items():
        if name not in known:
            raise SpecError(f"the template has no parameter {name!r}; it has: {', '.join(known)}")
        if wanted := _what_is_wanted(known[name], value):
            raise SpecError(f"{name} cannot be {value!r}; it has to be {wanted}")


def typed(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Numbers as numbers."""
    known = parse_template()["Parameters"]
    return {name: int(value) if known[name]["Type"] == "Number" else value for name, value in parameters.items()}


def to_annotations(parameters: Mapping[str, str]) -> dict[str, str]:
    return {f"{RECORDED}{name}": value for name, value in sorted(parameters.items())}


def of_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    """The parameters that are recorded, as far as the template still has them."""
    known = parse_template()["Parameters"]
    found = {key.removeprefix(RECORDED): value for key, value in annotations.items() if key.startswith(RECORDED)}
    return {name: value for name, value in found.items() if name in known}


def _fill_in(value: Any, values: Mapping[str, Any]) -> Any:
    """A whole string that is a `${…}` becomes the value as it is; items of a list whose `$if` is 0 are left out."""
    if isinstance(value, Mapping):
        return {key: _fill_in(item, values) for key, item in value.items() if key != "$if"}
    if isinstance(value, list):
        return [_fill_in(item, values) for item in value if _is_wanted(item, values)]
    if not isinstance(value, str):
        return value
    if (whole := _PLACE.fullmatch(value)) is not None:
        return values[whole[1]]
    return _PLACE.sub(lambda place: str(values[place[1]]), value)


def _is_wanted(item: Any, values: Mapping[str, Any]) -> bool:
    return not isinstance(item, Mapping) or "$if" not in item or bool(values[item["$if"]])


def _what_is_wanted(parameter: Mapping[str, Any], value: str) -> str | None:
    if "AllowedValues" in parameter and value not in map(str, parameter["AllowedValues"]):
        return f"one of {', '.join(map(str, parameter['AllowedValues']))}"
    if parameter["Type"] == "Number":
        least, most = parameter.get("MinValue", 0), parameter.get("MaxValue")
        within = value.isascii() and value.isdigit() and least <= int(value) and (most is None or int(value) <= most)
        return None if within else f"a whole number from {least}" + (f" to {most}" if most is not None else "")
    if len(value) < parameter.get("MinLength", 0):
        return "something"
    if "AllowedPattern" in parameter and not re.fullmatch(parameter["AllowedPattern"], value):
        return f"like {parameter['AllowedPattern']}"
    return None
