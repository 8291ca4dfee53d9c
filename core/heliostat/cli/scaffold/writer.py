"""Writes a new plugin from the files in `template`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from string import Template
from typing import Final

from heliostat.cli.scaffold.names import Names
from heliostat.cli.scaffold.origin import uv_source
from heliostat.errors import SpecError

TEMPLATE: Final = Path(__file__).parent / "template"
"""Each file is named as what it becomes, with `.txt` after that. `module` becomes the plugin's package, `gitignore`
gets its dot, and `$name` and its kind are replaced."""
_SOURCE: Final = """
# Where uv finds the Heliostat that wrote this, which did not come from a package index.
# Only uv reads it, and only in this folder.
[tool.uv.sources]
heliostat = {}
"""


def write_plugin(names: Names, directory: Path) -> list[Path]:
    """Returns what it wrote, relative to `directory`. Raises SpecError when something is there already."""
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise SpecError(f"{directory} is there and is no empty folder; choose another with --directory DIR")
    written = []
    for path, text in sorted(render(names)):
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text, encoding="utf-8")
        written.append(path)
    return written


def render(names: Names) -> Iterator[tuple[Path, str]]:
    """Every file of the plugin: its path in the distribution's folder, and its text."""
    heliostat = metadata.distribution("heliostat")
    source = uv_source(heliostat.read_text("direct_url.json"))
    values = {
        "name": names.name,
        "distribution": names.distribution,
        "module": names.module,
        "prefix": names.prefix,
        "heliostat_version": heliostat.version,
        "source": "" if source is None else _SOURCE.format(source),
    }
    for file in TEMPLATE.rglob("*.txt"):
        parts = [names.module if part == "module" else part for part in file.relative_to(TEMPLATE).parts]
        path = Path(*parts).with_suffix("")
        if path.name == "gitignore":
            path = path.with_name(".gitignore")
        yield path, Template(file.read_text(encoding="utf-8")).substitute(values)
