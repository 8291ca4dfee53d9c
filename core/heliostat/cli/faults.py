"""What went wrong, in one sentence on stderr. A traceback comes only with `--debug`."""

from __future__ import annotations

import sys

_debug = False


def enable_debug(wanted: bool) -> None:
    global _debug
    _debug = _debug or wanted


def tell(error: Exception) -> None:
    from heliostat.builtin.console.terminal import plain
    from heliostat.errors import HeliostatError

    if _debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, HeliostatError):
        sentence = str(error)
    elif isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        sentence = f"{error.strerror}{where}"
    else:
        sentence = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        sentence += "" if _debug else " (this should not happen; run again with --debug and report what it prints)"
    say(f"error: {plain(sentence)}")


def say(sentence: str) -> None:
    """A line of `heliostat` itself on stderr, where it may have one."""
    try:
        sys.stderr.write(f"heliostat: {sentence}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return


def log_to_stderr() -> None:
    """Warnings of Heliostat's own logger as sentences of the same kind."""
    import logging

    from heliostat.builtin.console.terminal import plain, plain_lines

    class Sentences(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not _debug:
                record.exc_info = record.exc_text = record.stack_info = None
            text = self.format(record)
            say(f"{record.levelname.lower()}: " + ("\n".join(plain_lines(text)) if _debug else plain(text)))

    logger = logging.getLogger("heliostat")
    logger.handlers = [Sentences()]
    logger.propagate = False
