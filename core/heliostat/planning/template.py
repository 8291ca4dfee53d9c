"""Placeholders in a command: taken apart once, then filled in for every chunk."""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

_Part = str | tuple[str, str]
"""Literal text, or the name of a placeholder and its format."""


class Template:
    """Text with placeholders such as `{start}` and `{chunk:04d}`; `{{` and `}}` stand for braces.

    `known` are the placeholders that there are, each with a value to try formats with. Raises ValueError for others,
    and for formats that do not suit."""

    def __init__(self, text: str, known: Mapping[str, Any]) -> None:
        self.parts = list(_take_apart(text, known))

    @property
    def names(self) -> set[str]:
        """The placeholders that occur."""
        return {part[0] for part in self.parts if not isinstance(part, str)}

    def bind(self, values: Mapping[str, Any]) -> None:
        """Fill in these placeholders for good."""
        self.parts = [
            part if isinstance(part, str) or part[0] not in values else format(values[part[0]], part[1])
            for part in self.parts
        ]

    def for_format(self, order: Mapping[str, int]) -> str:
        """The text for `str.format`, each placeholder replaced by the number of its value.

        `start_time as text` in `order`, say, is the value for a `start_time` without a format."""
        return "".join(
            part.replace("{", "{{").replace("}", "}}")
            if isinstance(part, str)
            else f"{{{order[part[0]] if part[1] else order.get(f'{part[0]} as text', order[part[0]])}:{part[1]}}}"
            for part in self.parts
        )


def filler(templates: Sequence[Template], order: Mapping[str, int]) -> Callable[[Sequence[Any]], tuple[str, ...]]:
    """A function that takes the values of the placeholders, numbered as in `order`, and returns all texts.

    Made for a million calls: what is the same in all of them is one string in memory, not a million."""
    constant = ["" if template.names else "".join(map(str, template.parts)) for template in templates]
    whole, mixed = [], []
    for index, template in enumerate(templates):
        if template.parts == [("output", "")]:
            whole.append((index, order["output"]))
        elif template.names:
            mixed.append(index)
    fill = "\0".join(templates[index].for_format(order) for index in mixed).format

    def texts(values: Sequence[Any]) -> tuple[str, ...]:
        result = constant.copy()
        for index, number in whole:
            result[index] = values[number]
        if mixed:
            for index, text in zip(mixed, fill(*values).split("\0")):  # noqa: B905 (a third faster, and as long)
                result[index] = text
        return tuple(result)

    return texts


class Rate(Fraction):
    """A frame rate that prints as `24` or `30000/1001`, and with a format as a decimal number."""

    def __format__(self, spec: str) -> str:
        return format(Decimal(self.numerator) / Decimal(self.denominator), spec) if spec else str(self)


def seconds(numerator: int, denominator: int) -> str:
    """`numerator / denominator`, not below 0, as a decimal number: with all its digits where there are nine or less
    after the point, else rounded to nine."""
    whole, billionths = divmod((2 * 10**9 * numerator + denominator) // (2 * denominator), 10**9)
    return f"{whole}.{billionths:09d}".rstrip("0") if billionths else str(whole)


def _take_apart(text: str, known: Mapping[str, Any]) -> Iterator[_Part]:
    if "\0" in text:
        raise ValueError("a command cannot hold the character NUL")
    try:
        fields = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is no template ({error}); write {{{{ or }}}} for a brace of your own") from None
    for literal, name, spec, conversion in fields:
        if literal:
            yield literal
        if name is not None:
            _check(name, spec or "", conversion, known)
            yield name, spec or ""


def _check(name: str, spec: str, conversion: str | None, known: Mapping[str, Any]) -> None:
    if name not in known:
        raise ValueError(f"unknown placeholder {{{name}}}; {_hint(name, known)}")
    if conversion:
        raise ValueError(f"the placeholder {{{name}!{conversion}}} has a conversion; write {{{name}}}")
    if re.search(r"[{}]|\d{4}", spec):
        raise ValueError(f"the format of {{{name}:{spec}}} is too long or holds another placeholder")
    try:
        format(known[name], spec)
    except (ValueError, TypeError):
        kind = (
            "whole numbers" if isinstance(known[name], int) else "text" if isinstance(known[name], str) else "numbers"
        )
        raise ValueError(f"the format of {{{name}:{spec}}} does not suit {kind}") from None


def _hint(name: str, known: Iterable[str]) -> str:
    if close := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {{{close[0]}}}?"
    return "there are " + " ".join(f"{{{each}}}" for each in known)
