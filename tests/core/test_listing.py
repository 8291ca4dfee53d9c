"""What plugins offer, described."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct, field

from heliostat import list_plugins
from heliostat.errors import PluginError, SpecError
from heliostat.listing import OptionView, _view, option_docs
from heliostat.model.status import WorkerChoice
from heliostat.plugins import Registration, check_worker


class Lamp(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the options of a lamp have in common."""

    volts: float = 12.0
    """How many volts;
    more is brighter."""


class Options(Lamp, frozen=True, kw_only=True, rename="camel"):
    """Options of a lamp."""

    colour: Literal["red", "green"]
    how_many: Annotated[int, Meta(ge=1, description="How many lamps.")] = 1
    rooms: list[str] = field(default_factory=lambda: ["hall"])

    silent: bool = False
    volts: float = 24.0


def test_options_have_types_defaults_docs_and_a_schema():
    offer = _view(
        Registration(
            kind="worker_adapter",
            name="lamp",
            factory=lambda options: None,
            options=Options,
            summary="Lamps.",
            plugin="lamp",
            distribution="heliostat-lamp",
        )
    )
    described = {option.name: option for option in offer.options}
    assert described["colour"] == OptionView(name="colour", type="'red' | 'green'", required=True)
    assert described["howMany"] == OptionView(
        name="howMany", type="int", required=False, default=1, doc="How many lamps."
    )
    assert described["rooms"].default == ["hall"]
    assert described["volts"].doc == "How many volts; more is brighter.", "from the type that it inherits it of"
    assert described["volts"].default == 24.0
    schema: Any = offer.schema
    assert schema["required"] == ["colour"]
    assert schema["properties"]["howMany"] == {
        "type": "integer",
        "minimum": 1,
        "description": "How many lamps.",
        "default": 1,
    }
    assert schema["properties"]["volts"]["description"] == "How many volts; more is brighter."


def test_without_source_there_are_no_docs():
    names: dict[str, Any] = {"Struct": Struct}
    exec("class Made(Struct):\n    a: int = 1\n    'unseen'\n", names)
    assert option_docs(names["Made"]) == {}


def test_every_option_of_heliostats_own_is_explained():
    own = [plugin for plugin in list_plugins() if plugin.distribution == "heliostat"]
    assert {plugin.name for plugin in own} >= {"local", "sql", "webhook"}
    offers = [offer for plugin in own for offer in plugin.registers if offer.kind == "worker_adapter"]
    assert [option.name for offer in offers for option in offer.options if not option.doc] == []


def test_a_worker_and_its_options_are_checked():
    check_worker(WorkerChoice("local", {"grace": 1.5}))
    with pytest.raises(PluginError, match="no worker adapter is called 'cloud'"):
        check_worker(WorkerChoice("cloud"))
    with pytest.raises(SpecError, match="worker adapter 'local' has no option 'slots'; it has: grace"):
        check_worker(WorkerChoice("local", {"slots": 3}))
    with pytest.raises(SpecError, match="option `grace`"):
        check_worker(WorkerChoice("local", {"grace": "long"}))
