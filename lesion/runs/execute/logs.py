"""Logs of one run: `logs/YYYYMMDD_HHMM/NAME.log` for people and `NAME.jsonl` for programs."""

import json
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from copy import copy
from logging.handlers import RotatingFileHandler
from pathlib import Path

from lesion.runs.folder.atomic_io import DiskError
from lesion.runs.manifest.redact import scrubbed

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
    path = home / "logs" / stamp / f"{name}.log"
    files = _open_files(path)
    with _listening(*files):
        try:
            yield path
        finally:
            for handler in files:
                handler.close()


def _open_files(path: Path) -> tuple[logging.Handler, logging.Handler]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = _Rotating(path, maxBytes=LIMIT_BYTES, backupCount=2, encoding="utf-8")
        lines = _Rotating(path.with_suffix(".jsonl"), maxBytes=LIMIT_BYTES, backupCount=2, encoding="utf-8")
    except OSError as error:
        raise DiskError(f"{path}: cannot be written ({error.strerror}); choose another place with --home") from error
    text.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    lines.setFormatter(_JsonLines())
    return text, lines


@contextmanager
def _listening(*handlers: logging.Handler) -> Generator[None]:
    level = LOGGER.level
    LOGGER.setLevel(logging.INFO)
    for handler in handlers:
        LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.setLevel(level)
        for handler in handlers:
            LOGGER.removeHandler(handler)


class CallLog(logging.Handler):
    """The log of one command: its files are made with the second event, so that a refused command leaves none."""

    def __init__(self, home: Path, stamp: str, name: str) -> None:
        super().__init__()
        folder, number = home / "logs" / stamp, 1
        while (folder / f"{name}{'' if number == 1 else f'-{number}'}.log").exists():
            number += 1
        self.path = folder / f"{name}{'' if number == 1 else f'-{number}'}.log"
        self.files: tuple[logging.Handler, ...] = ()
        self._first: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first event until there is a second; user's names and secrets are left out."""
        record = copy(record)
        record.msg, record.args = scrubbed(record.getMessage()), None
        if not self.files and self._first is None:
            self._first = record
            return
        for event in (self._first, record) if not self.files else (record,):
            self.files = self.files or _open_files(self.path)
            for file in self.files:
                file.handle(event or record)

    def close(self) -> None:
        """Close the files, where there are any."""
        for file in self.files:
            file.close()
        super().close()


@contextmanager
def call_log(home: Path, stamp: str, name: str) -> Generator[CallLog]:
    """While open, what is logged goes to the files of one command, in logs/."""
    log = CallLog(home, stamp, name)
    with _listening(log):
        try:
            yield log
        finally:
            log.close()
