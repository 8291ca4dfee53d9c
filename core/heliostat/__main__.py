"""`python -m heliostat`."""

from heliostat.cli.main import run

if __name__ == "__main__":
    run()
