"""Options of plugins as text on the command line."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

from heliostat.cli.plugin_use import checked_settings, choose_worker, make_sinks
from heliostat.errors import PluginError, SpecError
from heliostat.plugins import Registration


class Knobs(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    max_speed: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    shout: bool = False
    regions: tuple[str, ...] = ()
    sizes: list[int] | None = None
    tags: dict[str, str] = {}


def checked(**given: str) -> dict[str, Any]:
    entry = Registration(
        kind="worker_adapter",
        name="knobs",
        factory=lambda options: options,
        options=Knobs,
        summary="",
        plugin="p",
        distribution="d",
    )
    return checked_settings(entry, given)


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({"name": "[3]"}, {"name": "[3]"}),
        ({"max_speed": "2.5"}, {"maxSpeed": 2.5}),
        ({"maxSpeed": "2"}, {"maxSpeed": 2.0}),
        ({"shout": "true"}, {"shout": True}),
        ({"regions": "eu, us"}, {"regions": ("eu", "us")}),
        ({"regions": '["a,b"]'}, {"regions": ("a,b",)}),
        ({"sizes": "1,2"}, {"sizes": [1, 2]}),
        ({"tags": '{"a": "b"}'}, {"tags": {"a": "b"}}),
        ({}, {}),
    ],
)
def test_text_becomes_what_the_type_of_the_option_says(given: dict[str, str], settings: dict[str, Any]) -> None:
    assert checked(**given) == settings


@pytest.mark.parametrize(
    "given", [{"max_speed": "-1"}, {"shout": "loud"}, {"sizes": "1,x"}, {"tags": "a"}, {"tags": "{"}, {"speed": "1"}]
)
def test_what_does_not_fit_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(SpecError, match="worker adapter 'knobs'"):
        checked(**given)


def test_a_worker_is_chosen_with_checked_options() -> None:
    choice = choose_worker("local", ["grace=1.5"])
    assert (choice.name, choice.options) == ("local", {"grace": 1.5})
    with pytest.raises(PluginError):
        choose_worker("moon", [])


def test_each_sink_gets_its_own_options() -> None:
    first, second = make_sinks(["lines", "webhook"], ["webhook.url=http://x?a=b", "lines.interval=2"])
    assert type(first).__name__ == "LinesSink"
    assert type(second).__name__ == "WebhookSink"
