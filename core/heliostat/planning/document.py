"""Reads a document, from a file or from the web, and takes its JSON, TOML or YAML apart."""

from __future__ import annotations

import re
import tomllib
import urllib.parse
from pathlib import Path
from typing import Any

import msgspec

from heliostat.errors import SpecError

FORMATS = {".json": "JSON", ".toml": "TOML", ".yaml": "YAML", ".yml": "YAML"}

_MEDIA_TYPES = {"json": "JSON", "toml": "TOML", "yaml": "YAML", "x-yaml": "YAML"}

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it was read."""

    shown: str
    """What messages call it: the path, or the URL without user, password and query."""
    name: str
    """What a job of this document is called when it gives itself no name."""
    job_dir: Path
    """The folder that the outputs belong in unless somebody says otherwise."""
    format: str
    """One of the values of `FORMATS`."""
    data: bytes
    """Without a byte order mark."""


def is_url(place: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", place) is not None


def local_path(place: str) -> Path | None:
    """The file that a path or a `file:` URL means; None for an address on the web. Raises SpecError for others."""
    if not is_url(place):
        return Path(place)
    url = urllib.parse.urlsplit(place)
    if url.scheme.lower() == "file" and url.netloc in ("", "localhost"):
        return Path(urllib.parse.unquote(url.path))
    if url.scheme.lower() in ("http", "https") and url.netloc:
        return None
    raise SpecError(f"{without_secrets(place)} cannot be read; give a path or an address that begins with https://")


def read(place: str) -> Document:
    """Read a whole document. Raises SpecError with one sentence when that cannot be done."""
    path = local_path(place)
    return _from_web(place) if path is None else _read_file(path)


def document_of(data: bytes, file_name: str, job_dir: Path) -> Document:
    """What was read of a file of this name. Raises SpecError for a name that no job file has."""
    path = Path(file_name)
    format = FORMATS.get(path.suffix.lower())
    if format is None:
        raise _no_job_file(file_name)
    return Document(
        shown=file_name,
        name=_name(path.stem, job_dir.name),
        job_dir=job_dir,
        format=format,
        data=data.removeprefix(_BYTE_ORDER_MARK),
    )


def parse(document: Document) -> Any:
    """The content as dicts, lists, strings and numbers. Raises SpecError with line and column."""
    text = text_of(document)
    if document.format == "TOML":
        return _parse_toml(document, text)
    if document.format == "YAML":
        return _parse_yaml(document, text)
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise malformed_json(document, error) from None
    except RecursionError:
        raise SpecError(f"{document.shown} is nested too deeply") from None


def text_of(document: Document) -> str:
    """The content as text. Raises SpecError when it is empty or no UTF-8."""
    try:
        text = document.data.decode()
    except UnicodeDecodeError as error:
        raise SpecError(f"{document.shown} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    if not text or text.isspace():
        raise SpecError(f"{document.shown} is empty; write a job into it")
    return text


def malformed_json(document: Document, error: Exception) -> SpecError:
    """A SpecError for what msgspec says of text that is no JSON."""
    text = str(error)
    found = re.search(r" \(byte (\d+)\)$", text)
    offset = int(found[1]) if found else len(document.data.rstrip())
    reason = text[: found.start()] if found else "it ends too early"
    before = document.data[:offset].decode("utf-8", "replace")
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return _malformed(document, line, column, reason.removeprefix("JSON is malformed: "))


def _parse_toml(document: Document, text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        if found is None:
            raise SpecError(f"{document.shown} is no valid TOML: {error}") from None
        lines = text.splitlines() or [""]
        line, column = (int(found[1]), int(found[2])) if found[1] else (len(lines), len(lines[-1]) + 1)
        raise _malformed(document, line, column, str(error)[: found.start()]) from None
    except RecursionError:
        raise SpecError(f"{document.shown} is nested too deeply") from None


def _parse_yaml(document: Document, text: str) -> Any:
    import yaml  # only for those who write YAML

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _malformed(document, line, column, error.problem or "it cannot be read") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{document.shown} is no valid YAML: {' '.join(str(error).split())}") from None
    except (RecursionError, ValueError) as error:
        raise SpecError(f"{document.shown} is no valid YAML: {error}") from None


def _malformed(document: Document, line: int, column: int, reason: str) -> SpecError:
    reason = " ".join(reason.split())
    return SpecError(f"{document.shown} is no valid {document.format}: line {line}, column {column}: {reason}")


def _read_file(path: Path) -> Document:
    shown = str(path)
    try:
        format = FORMATS.get(path.suffix.lower())
        if format is None and path.is_file():
            raise _no_job_file(shown)
        data = path.read_bytes().removeprefix(_BYTE_ORDER_MARK)
    except FileNotFoundError:
        raise SpecError(f"{shown} does not exist; give the path of a job file") from None
    except IsADirectoryError:
        raise SpecError(f"{shown} is a directory; give the path of a job file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError(f"{shown} cannot be read: {reason}") from None
    path = path.absolute()
    return Document(
        shown=shown, name=_name(path.stem, path.parent.name), job_dir=path.parent, format=format or "JSON", data=data
    )


def _from_web(place: str) -> Document:
    from heliostat.planning.web import fetch  # urllib.request takes longer to import than most jobs take to read

    shown = without_secrets(place)
    data, media_type = fetch(place, shown)
    data = data.removeprefix(_BYTE_ORDER_MARK)
    path = Path(urllib.parse.unquote(urllib.parse.urlsplit(place).path))
    format = FORMATS.get(path.suffix.lower()) or _MEDIA_TYPES.get(media_type)
    if format is None:
        raise _no_job_file(shown)
    return Document(shown=shown, name=_name(path.stem, path.parent.name), job_dir=Path.cwd(), format=format, data=data)


def _no_job_file(shown: str) -> SpecError:
    return SpecError(f"{shown} is no job file; the name of one ends in .json, .toml, .yaml or .yml")


def without_secrets(address: str) -> str:
    """An address without user, password and query."""
    url = urllib.parse.urlsplit(address)
    return urllib.parse.urlunsplit((url.scheme, url.netloc.rpartition("@")[2], url.path, "", ""))


def _name(stem: str, folder: str) -> str:
    """A file's stem, or its folder's name where the stem says nothing."""
    return folder if stem in ("", "job", "heliostat", "render") and folder else stem
