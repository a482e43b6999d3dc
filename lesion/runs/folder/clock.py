"""The time, as folders and documents write it."""

from datetime import UTC, datetime


def now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """`YYYYMMDD_HHMM`, as folders are named.

    >>> stamp(datetime(2026, 11, 22, 16, 30, tzinfo=UTC))
    '20261122_1630'
    """
    return moment.strftime("%Y%m%d_%H%M")


def iso(moment: datetime) -> str:
    """ISO 8601 to the second.

    >>> iso(datetime(2026, 11, 22, 16, 30, tzinfo=UTC))
    '2026-11-22T16:30:00+00:00'
    """
    return moment.isoformat(timespec="seconds")
