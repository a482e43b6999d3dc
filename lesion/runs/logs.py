"""Logs of one run: `logs/YYYYMMDD_HHMM/NAME.log` for people and `NAME.jsonl` for programs."""

import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

LOGGER = logging.getLogger("lesion")
LIMIT_BYTES = 5_000_000
"""A log file is rotated at this size; two old ones are kept."""


class _JsonLines(logging.Formatter):
    """One JSON object per event."""

    def format(self, record: logging.LogRecord) -> str:
        event = {"time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"), "level": record.levelname.lower()}
        facts = getattr(record, "facts", {})
        return json.dumps({**event, "event": record.getMessage(), **facts}, ensure_ascii=False, default=str)


@contextmanager
def run_log(home: Path, stamp: str, name: str) -> Generator[Path]:
    """While open, everything that the laboratory logs goes to this run's two files."""
    folder = home / "logs" / stamp
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.log"
    text = RotatingFileHandler(path, maxBytes=LIMIT_BYTES, backupCount=2, encoding="utf-8")
    text.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    lines = RotatingFileHandler(path.with_suffix(".jsonl"), maxBytes=LIMIT_BYTES, backupCount=2, encoding="utf-8")
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
