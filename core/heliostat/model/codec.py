"""JSON to records and back: msgspec with the one type that it does not know, the exact frame rate.

All that is read as a record is read here: msgspec looks a type over when it is first read, and until it is done another
thread that reads the same type crashes the process (msgspec 0.22).
"""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any, TypeVar

import msgspec

from heliostat.model.spec import fraction_to_json, to_fraction

T = TypeVar("T")


def to_json(record: object) -> bytes:
    """A record, or a list of records, as compact JSON in UTF-8."""
    return msgspec.json.encode(record, enc_hook=_encode_other)


def to_builtins(record: object) -> Any:
    """A record as dicts, lists, strings and numbers, named as in JSON."""
    return msgspec.to_builtins(record, enc_hook=_encode_other)


def from_json(data: bytes | str, kind: type[T]) -> T:
    """JSON as a record. Raises msgspec.ValidationError with the path of what is wrong, or msgspec.DecodeError."""
    return _reader(kind).decode(data)


def from_builtins(value: object, kind: type[T], *, strict: bool = True) -> T:
    """Dicts, lists, strings and numbers as a record. Without `strict`, `"3"` will do for 3. Raises as `from_json`."""
    _reader(kind)
    return msgspec.convert(value, type=kind, dec_hook=_decode_other, strict=strict)


_readers: dict[Any, msgspec.json.Decoder[Any]] = {}
_looking_over = threading.Lock()


def _reader(kind: type[T]) -> msgspec.json.Decoder[T]:
    reader = _readers.get(kind)
    if reader is None:
        with _looking_over:
            reader = _readers.setdefault(kind, msgspec.json.Decoder(kind, dec_hook=_decode_other))
    return reader


def _encode_other(value: object) -> object:
    if isinstance(value, Fraction):
        return fraction_to_json(value)
    raise NotImplementedError(f"cannot encode {type(value).__name__}")


def _decode_other(kind: type, value: object) -> object:
    if kind is Fraction:
        return to_fraction(value)
    raise NotImplementedError(f"cannot decode {kind.__name__}")
