"""Logs of one run: `logs/YYYYMMDD_HHMM/NAME.log` for people and `NAME.jsonl` for programs."""

import json
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from lesion.runs.durable import DiskError

LOGGER = logging.getLogger("lesion")
LIMIT_BYTES = 5_000_000
"""A log file is rotated at this size; two old ones are kept."""


class _JsonLines(logging.Formatter):
    """One JSON object per event."""

    def format(self, record: logging.LogRecord) -> str:
        event = {"time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"), "level": record.levelname.lower()}
        facts = getattr(record, "facts", {})
        return json.dumps({**event, "event": record.getMessage(), **facts}, ensure_ascii=False, default=str)


class _Rotating(RotatingFileHandler):
    """A log file that says when it cannot be written, instead of printing a traceback and going on without a log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  (the name is logging's)
        """End the run with a sentence.

        Raises:
            DiskError: always; the cause is the error that is being handled.
        """
        error = sys.exception()
        said = getattr(error, "strerror", None) or error
        raise DiskError(f"{self.baseFilename}: the log cannot be written ({said}); finished units are kept") from error

    def close(self) -> None:
        """Close the file, also on a full disk: what could not be written was told when it happened."""
        with suppress(OSError):
            super().close()


@contextmanager
def run_log(home: Path, stamp: str, name: str) -> Generator[Path]:
    """While open, everything that the laboratory logs goes to this run's two files."""
    folder = home / "logs" / stamp
    path = folder / f"{name}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = _Rotating(path, maxBytes=LIMIT_BYTES, backupCount=2, encoding="utf-8")
        lines = _Rotating(path.with_suffix(".jsonl"), maxBytes=LIMIT_BYTES, backupCount=2, encoding="utf-8")
    except OSError as error:
        raise DiskError(f"{path}: cannot be written ({error.strerror}); choose another place with --home") from error
    text.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    lines.setFormatter(_JsonLines())
    level = LOGGER.level
    LOGGER.setLevel(logging.INFO)
    for handler in (text, lines):
        LOGGER.addHandler(handler)
    try:
        yield path
    finally:
        LOGGER.setLevel(level)
        for handler in (text, lines):
            LOGGER.removeHandler(handler)
            handler.close()
