"""Fields of a form, from options types."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from msgspec import Meta, Struct, field

from heliostat import list_plugins
from heliostat.studio.page.option_fields import FieldKind, OptionField, option_fields, schema_of
from heliostat.studio.page.submit_form import SETTINGS


class Lens(Struct):
    focus: float = 1.0


class Options(Struct, kw_only=True):
    url: Annotated[str, Meta(min_length=1, pattern="^http", description="Where it is.")]
    token_file: str | None = None
    count: Annotated[int, Meta(ge=1, le=9)] = 3
    speed: Annotated[float, Meta(gt=0, lt=2)] | None = None
    quick: bool = True
    safe: bool | None = None
    mode: Literal["slow", "fast"] = "slow"
    tint: Literal["warm", "cold"] | None = None
    names: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    lens: Lens | None = None
    either: int | str = 4


@pytest.fixture
def fields() -> dict[str, OptionField]:
    return {one.name: one for one in option_fields(schema_of(Options))}


def test_each_type_has_its_kind_of_field(fields: dict[str, OptionField]) -> None:
    assert {name: one.kind.value for name, one in fields.items()} == {
        "url": "text",
        "token_file": "text",
        "count": "integer",
        "speed": "number",
        "quick": "switch",
        "safe": "choice",
        "mode": "choice",
        "tint": "choice",
        "names": "lines",
        "env": "pairs",
        "lens": "json",
        "either": "json",
    }


def test_what_is_needed_its_bounds_and_its_meaning_are_known(fields: dict[str, OptionField]) -> None:
    url, count, speed = fields["url"], fields["count"], fields["speed"]
    assert (url.required, url.shortest, url.pattern, url.hint) == (True, 1, "^http", "Where it is.")
    assert (count.required, count.least, count.most, count.default) == (False, 1, 9, 3)
    assert (speed.above, speed.below, speed.default) == (0, 2, None)


def test_choices_are_those_of_the_type(fields: dict[str, OptionField]) -> None:
    assert sorted(fields["mode"].choices) == ["fast", "slow"]
    assert fields["mode"].default == "slow"
    assert sorted(fields["tint"].choices) == ["cold", "warm"]
    assert fields["safe"].choices == [True, False]
    assert fields["quick"].default is True


def test_names_become_labels(fields: dict[str, OptionField]) -> None:
    assert fields["token_file"].label == "Token file"


def test_every_worker_adapter_that_is_installed_has_a_form() -> None:
    offers = [offer for plugin in list_plugins() for offer in plugin.registers if offer.kind == "worker_adapter"]
    assert {"local", "http"} <= {offer.name for offer in offers}
    for offer in offers:
        found = option_fields(offer.schema)
        assert [one.name for one in found] == [option.name for option in offer.options]
        assert [one.required for one in found] == [option.required for option in offer.options]
        assert FieldKind.JSON not in {one.kind for one in found}


def test_every_setting_of_the_form_is_one_of_the_api() -> None:
    from heliostat.studio.api.records import SubmissionOptions

    assert set(SETTINGS) <= {one.name for one in option_fields(schema_of(SubmissionOptions))}
