"""A file of a data set of the Hugging Face hub, at a pinned commit. Only naming a hub uses the network."""

from pathlib import Path
from typing import Any, cast

from lesion.errors import InputError


def local_file(path: str, hub: str | None) -> Path:
    """A file on this machine, fetched from the hub if one is named and its cache lacks the file; content unread.

    Args:
        path: local file; with `hub` the file's path in that data set.
        hub: `org/name@COMMIT`, the commit in 40 hexadecimal digits.

    Raises:
        InputError: when the hub does not give it: no network, no such data set, commit or file.
    """
    if hub is None:
        return Path(path)
    import huggingface_hub  # noqa: PLC0415  (only a pinned hub name may use the network)
    from huggingface_hub.errors import EntryNotFoundError  # noqa: PLC0415

    name, _, commit = hub.partition("@")
    fetch: Any = cast("Any", huggingface_hub).hf_hub_download
    try:
        return Path(fetch(name, path, repo_type="dataset", revision=commit))
    except (OSError, EntryNotFoundError) as error:
        said = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path} of the data set {hub} cannot be fetched: {said}; check name, commit and path, or give a local "
            "copy as `path`, without `hub`"
        ) from error
