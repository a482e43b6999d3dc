"""Files of a pinned Hugging Face repository, from the cache or, where they are not there yet, from the network."""

# pyright: reportUnknownVariableType=false

from collections.abc import Callable, Sequence
from pathlib import Path

from lesion.errors import InputError


def hub_file(repository: str, revision: str | None, name: str) -> Path:
    """One file of a hub repository at its commit.

    Raises:
        InputError: when it is not in the cache and cannot be fetched.
    """
    from huggingface_hub import hf_hub_download  # noqa: PLC0415  (only a pinned hub name may use the network)

    return _fetched(repository, revision, name, lambda: hf_hub_download(repository, name, revision=revision))


def hub_folder(repository: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """The files of a hub repository at its commit that match the patterns.

    Raises:
        InputError: when they are not in the cache and cannot be fetched.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415  (only a pinned hub name may use the network)

    wanted = list(patterns)

    def fetch() -> str:
        return snapshot_download(repository, revision=revision, allow_patterns=wanted)

    return _fetched(repository, revision, ", ".join(wanted), fetch)


def _fetched(repository: str, revision: str | None, what: str, fetch: Callable[[], str]) -> Path:
    try:
        return Path(fetch())
    except OSError as error:  # all of the library's own errors are, and those of the network
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{repository}@{revision}: {what} not in the cache, and not to be fetched ({first}); with a network, "
            f"`hf download {repository} --revision {revision}` fetches all of it, or name a local folder"
        ) from error
