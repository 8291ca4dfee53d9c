"""Reads a job from a file or an address: the JSON that the Helios CLI writes, or the short form."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from heliostat.errors import SpecError
from heliostat.model.codec import from_builtins, from_json
from heliostat.model.spec import JobSpec
from heliostat.planning.document import Document, document_of, local_path, malformed_json, parse, read, text_of
from heliostat.planning.problems import invalid
from heliostat.planning.short_form import ShortForm, expand
from heliostat.planning.validate import check_job, check_outputs, validate


def load_spec(path_or_url: str | os.PathLike[str], *, job_dir: str | os.PathLike[str] | None = None) -> JobSpec:
    """A job from a `.json`, `.toml`, `.yaml` or `.yml` document: a path, or an http, https or file URL.

    A document with a list of `chunks` is in the long form, which is `JobSpec` as JSON and what `helios render
    --emit-job` writes; any other is in the short form of `heliostat.planning.short_form`. Outputs must lie in
    `job_dir`, which is `default_job_dir(path_or_url)` when it is not given. A job without a name gets that of the
    file, or of its folder where the file is just called `job`. Raises SpecError with one line that says what is wrong
    and where.
    """
    document = read(os.fspath(path_or_url))
    spec = _decode(document, document.job_dir if job_dir is None else job_dir)
    return spec if spec.name else msgspec.structs.replace(spec, name=document.name)


def parse_spec(data: bytes, file_name: str, *, job_dir: str | os.PathLike[str]) -> JobSpec:
    """A job from the content of a document, as `load_spec` takes it. `file_name`, such as `job.toml`, tells the format,
    and the job's name where it has none. Raises SpecError."""
    document = document_of(data, file_name, Path(job_dir))
    spec = _decode(document, job_dir)
    return spec if spec.name else msgspec.structs.replace(spec, name=document.name)


def default_job_dir(path_or_url: str | os.PathLike[str]) -> Path:
    """The folder of a file, and the current one for a document from the web. Raises SpecError for other addresses."""
    path = local_path(os.fspath(path_or_url))
    return Path.cwd() if path is None else path.absolute().parent


class _Peek(msgspec.Struct):
    """Just enough of a document to tell its form."""

    chunks: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def _decode(document: Document, job_dir: str | os.PathLike[str]) -> JobSpec:
    if document.format == "JSON":
        return _decode_json(document, job_dir)
    content = parse(document)
    if content is None:
        raise SpecError(f"{document.shown} is empty; write a job into it")
    if isinstance(content, dict) and isinstance(content.get("chunks"), list):
        try:
            spec = from_builtins(content, JobSpec)
        except msgspec.ValidationError as error:
            raise invalid(error, JobSpec, content) from None
        validate(spec, job_dir=job_dir)
        return spec
    return _short(content, job_dir)


def _decode_json(document: Document, job_dir: str | os.PathLike[str]) -> JobSpec:
    """Straight from the bytes to records, since there may be a million chunks in them."""
    try:
        peek = from_json(document.data, _Peek)
        if not isinstance(peek.chunks, msgspec.Raw) or memoryview(peek.chunks)[0] != ord("["):
            return _short(parse(document), job_dir)
        spec = from_json(document.data, JobSpec)
    except msgspec.ValidationError as error:
        raise invalid(error, JobSpec, parse(document) if "[...]" in str(error) else None) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text_of(document)  # raises when the document is empty or no UTF-8, and says so better
        raise malformed_json(document, error) from None
    except RecursionError:
        raise SpecError(f"{document.shown} is nested too deeply") from None
    validate(spec, job_dir=job_dir)
    return spec


def _short(content: object, job_dir: str | os.PathLike[str]) -> JobSpec:
    try:
        form = from_builtins(content, ShortForm)
    except msgspec.ValidationError as error:
        raise invalid(error, ShortForm, content) from None
    spec = expand(form)
    try:
        check_job(spec)
        check_outputs(spec, job_dir)
    except SpecError as error:
        raise _in_short_form(error) from None
    return spec


_KEYS = {"outputFile": "output", "totalFrames": "frames"}


def _in_short_form(error: SpecError) -> SpecError:
    """The same with the path that it has in the short form: `$.chunks[3].outputFile` comes from `$.output`."""
    path = error.path or "$"
    message = re.sub(r"\$\.chunks\[(\d+)\]", r"chunk \1", str(error).removeprefix(f"{path}: "))
    match = re.match(r"\$\.(?:chunks\[\d+\]|metadata)\.(\w+)(.*)", path)
    if match:
        path = f"$.{_KEYS.get(match[1], match[1])}{match[2]}"
    return SpecError(message, path=path)
