"""What is installed and what it offers: each plugin, what it registered, and the options of that with their types,
defaults and documentation."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, Struct, UnsetType

from heliostat.model.codec import to_builtins
from heliostat.plugins import Registration, registry


class OptionView(Struct, frozen=True, kw_only=True):
    """One option."""

    name: str
    """As in JSON and in `--set`."""
    type: str
    """As Python writes it, such as `int | None`."""
    required: bool
    default: Any = UNSET
    """Not for one that is required."""
    doc: str = ""
    """What the options type says of it."""


class OfferView(Struct, frozen=True, kw_only=True):
    """One thing that a plugin registered."""

    kind: str
    """`worker_adapter`, `progress_sink`, `repository`, `artifact_store`, `stitcher` or `command`."""
    name: str
    summary: str
    options: list[OptionView]
    schema: dict[str, Any] | UnsetType = UNSET
    """The JSON Schema of all its options together; not where it has none."""


class PluginView(Struct, frozen=True, kw_only=True):
    """A plugin that was found, or that could not be loaded."""

    name: str
    distribution: str
    version: str
    problem: str | None
    """One sentence on why it is not in use."""
    registers: list[OfferView]


def list_plugins() -> list[PluginView]:
    """All plugins of this process, Heliostat's own first."""
    loaded = registry()
    offers: dict[tuple[str, str], list[OfferView]] = {}
    for entry in loaded.all():
        offers.setdefault((entry.distribution, entry.plugin), []).append(_view(entry))
    return [
        PluginView(
            name=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            problem=plugin.problem,
            registers=offers.get((plugin.distribution, plugin.name), []),
        )
        for plugin in loaded.plugins
    ]


def option_docs(options: type[Struct]) -> dict[str, str]:
    """What an options type says of its fields, by their names in Python: in the string after a field, or in
    `Meta(description=…)`."""
    docs: dict[str, str] = {}
    for kind in reversed(options.__mro__):
        docs |= _strings_after_fields(kind)
    for field in msgspec.structs.fields(options):
        if (described := _description(field.type)) is not None:
            docs[field.name] = described
    return docs


def _view(entry: Registration) -> OfferView:
    if entry.options is None:
        return OfferView(kind=entry.kind, name=entry.name, summary=entry.summary, options=[])
    docs = option_docs(entry.options)
    options = []
    for field in msgspec.structs.fields(entry.options):
        default: Any = UNSET
        if not field.required:
            default = to_builtins(
                field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            )
        options.append(
            OptionView(
                name=field.encode_name,
                type=type_name(field.type),
                required=field.required,
                default=default,
                doc=docs.get(field.name, ""),
            )
        )
    return OfferView(
        kind=entry.kind,
        name=entry.name,
        summary=entry.summary,
        options=options,
        schema=_schema(entry.options, {option.name: option.doc for option in options}),
    )


def type_name(kind: Any) -> str:
    """`Annotated[float, Meta(ge=0)] | None` as `float | None`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return type_name(arguments[0])
    if origin in (Union, UnionType):
        return " | ".join(map(type_name, arguments))
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if kind in (None, NoneType):
        return "None"
    if kind is Ellipsis:
        return "..."
    name = getattr(origin or kind, "__name__", str(kind))
    return f"{name}[{', '.join(map(type_name, arguments))}]" if arguments else name


def _schema(options: type[Struct], docs: dict[str, str]) -> dict[str, Any]:
    (reference,), components = msgspec.json.schema_components(
        [options], schema_hook=lambda _: {}, ref_template="#/$defs/{name}"
    )
    own = components.pop(reference["$ref"].rpartition("/")[2])
    for name, schema in own.get("properties", {}).items():
        if docs.get(name):
            schema.setdefault("description", docs[name])
    return {**own, "$defs": components} if components else own


@functools.cache
def _strings_after_fields(kind: type) -> dict[str, str]:
    """Empty where the source is not at hand."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError):
        return {}
    body = tree.body[0].body if tree.body and isinstance(tree.body[0], ast.ClassDef) else []
    docs = {}
    for field, after in itertools.pairwise(body):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docs[name] = " ".join(text.split())
    return docs


def _description(kind: Any) -> str | None:
    """Of a type `Annotated[…, Meta(description="…")]`."""
    if get_origin(kind) is not Annotated:
        return None
    described = [meta.description for meta in get_args(kind)[1:] if isinstance(meta, msgspec.Meta) and meta.description]
    return described[-1] if described else None
