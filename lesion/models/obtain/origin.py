"""Where a converted model came from: `origin.json` for programs, and the card README.md for people. Needs no torch."""

from importlib.metadata import version
from pathlib import Path

from lesion.errors import InputError
from lesion.identity import Document
from lesion.outside.documents import read_document

FILE = "origin.json"
MOST_BYTES = 1_000_000
DTYPES = ("float32", "bfloat16")
"""Numbers that a conversion can write."""


class Origin(Document):
    """Where the weights of a folder come from and how they were converted."""

    origin: int = 1
    """Version of this format."""
    name: str
    """What the model is called."""
    about: str
    """Who trained it and who made the file, as far as is known."""
    packages: tuple[str, ...] = ()
    """The packages that carried the file, with versions; none where the user had it."""
    file: str
    """Name of the file or folder that was converted."""
    file_bytes: int = 0
    """Its size; 0 for a folder."""
    file_sha256: str = ""
    """SHA-256 of the file; empty for a folder."""
    licence: str
    """Licence of the weights; empty where nothing says it."""
    quantisation: dict[str, int] = {}
    """Tensors of the file by the type of their numbers, as GGUF calls it."""
    dtype: str
    """The numbers of the folder."""
    parameters: int
    """Numbers in the folder, tied ones counted once."""
    embeddings: str
    """Whether token embedding and unembedding are one matrix, and why."""
    steps: tuple[str, ...]
    """What was done."""
    weights_hash: str
    """SHA-256 of model.safetensors."""
    made_with: dict[str, str]
    """Versions of the packages that converted it."""

    def sentence(self) -> str:
        """All of it in one line, for a manifest."""
        carried = f" from {', '.join(self.packages)}" if self.packages else ""
        known = f", SHA-256 {self.file_sha256}" if self.file_sha256 else ""
        licence = f"; {self.licence}" if self.licence else ""
        return f"{self.file}{carried}{known}; converted to {self.dtype}{licence}"


def versions() -> dict[str, str]:
    """Versions of the packages that have a part in a conversion."""
    return {name: version(name) for name in ("lesion", "gguf", "transformers", "torch", "safetensors", "numpy")}


def write_origin(folder: Path, origin: Origin) -> None:
    """Write both files into a folder."""
    (folder / FILE).write_text(origin.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_card(origin), encoding="utf-8")


def read_origin(folder: Path) -> Origin | None:
    """What a folder says of its origin; none where it says nothing.

    Raises:
        InputError: when the file cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    return read_document(path, Origin, MOST_BYTES)


def require_origin(folder: Path, weights: str) -> None:
    """Make sure that a folder's weights are those that its origin.json describes.

    Args:
        folder: a model's folder.
        weights: SHA-256 of its weights.

    Raises:
        InputError: when they are others, or the file cannot be read.
    """
    origin = read_origin(folder)
    if origin is not None and origin.weights_hash != weights:
        raise InputError(
            f"{folder}: {FILE} describes weights with SHA-256 {origin.weights_hash[:16]}…, and the weights there have "
            f"{weights[:16]}…: get or convert the model again, or remove {FILE} if you changed the weights yourself"
        )


def _card(origin: Origin) -> str:
    """The model card, in Markdown."""
    types = ", ".join(f"{count} × {name}" for name, count in origin.quantisation.items())
    rows = {
        "origin": origin.about,
        "packages": ", ".join(origin.packages),
        "file": origin.file + (f", {origin.file_bytes:,} bytes" if origin.file_bytes else ""),
        "SHA-256 of the file": origin.file_sha256,
        "licence of the weights": origin.licence or "not stated in the file",
        "quantisation": f"{types} tensors" if types else "",
        "parameters": f"{origin.parameters:,}, {origin.dtype}",
        "embeddings": origin.embeddings,
        "SHA-256 of model.safetensors": origin.weights_hash,
        "converted with": ", ".join(f"{name} {number}" for name, number in origin.made_with.items()),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items() if value)
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(origin.steps, 1))
    begins = "A Hugging Face folder that `lesion` made from other files."
    if types:
        begins += " Its numbers are those of the quantised file, not those of the model as it was trained."
    return f"# {origin.name}\n\n{begins}\n\n| | |\n| --- | --- |\n{table}\n\n## Conversion\n\n{steps}\n"
