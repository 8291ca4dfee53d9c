"""Placeholders in a command."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.planning.template import Rate, Template, filler, seconds

KNOWN = {"start": 1, "chunk": 1, "start_time": Decimal(1), "output": "x", "fps": Rate(24)}
ORDER = {"start": 0, "chunk": 1, "start_time": 2, "output": 3}


def fill(*texts: str) -> tuple[str, ...]:
    templates = [Template(text, KNOWN) for text in texts]
    for template in templates:
        template.bind({"fps": Rate(30000, 1001)})
    return filler(templates, ORDER)([240, 7, Decimal("1.25"), "out/0007.mp4"])


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{start}", "240"),
        ("{chunk:04d}.png", "0007.png"),
        ("{{{chunk}}}", "{7}"),
        ("{{start}}", "{start}"),
        ("{start_time:.3f}", "1.250"),
        ("{output}", "out/0007.mp4"),
        ("of={output}", "of=out/0007.mp4"),
        ("{fps} {fps:.3f}", "30000/1001 29.970"),
        ("{{{fps}}}", "{30000/1001}"),
        ("%d \\ $HOME 'é'", "%d \\ $HOME 'é'"),
    ],
)
def test_placeholders_are_filled_in(text: str, filled: str) -> None:
    assert fill(text) == (filled,)


def test_all_arguments_are_filled_in_at_once_and_in_order() -> None:
    assert fill("a", "{start}", "", "{output}", "{chunk}{chunk}") == ("a", "240", "", "out/0007.mp4", "77")


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5), max_size=5))
def test_text_with_doubled_braces_comes_out_as_it_was_meant(texts: list[str]) -> None:
    assert fill(*(text.replace("{", "{{").replace("}", "}}") for text in texts)) == tuple(texts)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{strat}", "unknown placeholder {strat}; did you mean {start}?"),
        ("{zzz}", "unknown placeholder {zzz}; there are {start} {chunk} {start_time} {output} {fps}"),
        ("{}", "unknown placeholder {}; there are {start} {chunk} {start_time} {output} {fps}"),
        ("{0}", "unknown placeholder {0}; there are {start} {chunk} {start_time} {output} {fps}"),
        ("{start.real}", "unknown placeholder {start.real}; did you mean {start}?"),
        ("{start!r}", "the placeholder {start!r} has a conversion; write {start}"),
        ("{start:{chunk}}", "the format of {start:{chunk}} is too long or holds another placeholder"),
        ("{start:99999d}", "the format of {start:99999d} is too long or holds another placeholder"),
        ("{start:zz}", "the format of {start:zz} does not suit whole numbers"),
        ("{output:04d}", "the format of {output:04d} does not suit text"),
        ("{start_time:d}", "the format of {start_time:d} does not suit numbers"),
        ("{", "'{' is no template (Single '{' encountered in format string); write {{ or }} for a brace of your own"),
        ("a}", "'a}' is no template (Single '}' encountered in format string); write {{ or }} for a brace of your own"),
        ("a\0b", "a command cannot hold the character NUL"),
    ],
)
def test_what_is_no_placeholder_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        Template(text, KNOWN)
    assert str(raised.value) == problem


@pytest.mark.parametrize(
    ("numerator", "denominator", "text"),
    [
        (0, 1, "0"),
        (10, 1, "10"),
        (5, 2, "2.5"),
        (1, 3, "0.333333333"),
        (2, 3, "0.666666667"),
        (1, 10**9, "0.000000001"),
        (1, 10**10, "0"),
        (9999999999, 10**10, "1"),
    ],
)
def test_seconds_are_decimal_numbers(numerator: int, denominator: int, text: str) -> None:
    assert seconds(numerator, denominator) == text


@given(st.integers(0, 10**15), st.integers(1, 10**6))
def test_seconds_are_right_to_half_a_nanosecond(numerator: int, denominator: int) -> None:
    assert abs(Fraction(seconds(numerator, denominator)) - Fraction(numerator, denominator)) * 2 <= Fraction(1, 10**9)
