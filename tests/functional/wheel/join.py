"""Joins them."""

from pathlib import Path

parts = sorted(Path("chunks").glob("*.txt"))
Path("film.txt").write_text(" ".join(part.read_text() for part in parts))
