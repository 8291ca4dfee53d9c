"""`python -m heliostat.cli` is `heliostat`."""

from __future__ import annotations

from heliostat.cli.main import run

if __name__ == "__main__":
    run()
