"""The CloudFormation template: its text, what it says, and its parameters."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from heliostat.errors import SpecError


@functools.cache
def template_text() -> str:
    return resources.files("heliostat_aws").joinpath("template.yaml").read_text(encoding="utf-8")


@functools.cache
def parse_template() -> dict[str, Any]:
    """The template with CloudFormation's short tags in their long form: `!Sub x` is `{"Fn::Sub": "x"}`."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def long_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
        value: Any
        if isinstance(node, yaml.ScalarNode):
            value = loader.construct_scalar(node)
            value = value.split(".", 1) if tag == "GetAtt" else value
        elif isinstance(node, yaml.SequenceNode):
            value = loader.construct_sequence(node, deep=True)
        else:
            assert isinstance(node, yaml.MappingNode)
            value = loader.construct_mapping(node, deep=True)
        return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}

    Loader.add_multi_constructor("!", long_form)
    parsed: dict[str, Any] = yaml.load(template_text(), Loader)
    return parsed


def check_parameters(given: Mapping[str, str]) -> None:
    """Raises SpecError when the template has no such parameter, or it cannot be that."""
    known = parse_template()["Parameters"]
    for name, value in given.items():
        if name not in known:
            raise SpecError(f"the template has no parameter {name!r}; it has: {', '.join(known)}")
        if wanted := _what_is_wanted(known[name], value):
            raise SpecError(f"{name} cannot be {value!r}; it has to be {wanted}")


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
