"""Proofs and choices of engines, kept in the user's cache folder, so that a model is proved once per machine.

An entry belongs to one set of weights, one machine (processor, device, threads, versions of torch and transformers) and
one state of this package's source. When it is read, the model must give the stored logits of a short row, bit for bit;
otherwise, and where the file is damaged, everything is proved again. A proof that was read says so.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
import transformers

import lesion
from lesion.device import cache_folder, processor
from lesion.engine.batched.engine import Fast
from lesion.engine.proof.prove import Proof, prove
from lesion.engine.proof.recorded_passes import forward
from lesion.engine.select_engine import Engine, choose
from lesion.errors import InputError, InterventionError
from lesion.identity import Document, content_hash, generator
from lesion.models.device import described, determinism
from lesion.models.model import Model
from lesion.outside.documents import read_document
from lesion.study.gates.evidence.model_answers import EngineChoice

ROW = 4
"""Tokens whose logits are compared when an entry is read."""
ROOMS = ("interventions", "models", "engine")
"""Folders of this package whose source a proof depends on."""

MOST_BYTES = 10_000_000
"""Of an entry."""


class Entry(Document):
    """What is kept of one model on one machine."""

    key: str
    """Hash of everything that the proof depends on, beside the module itself."""
    logits: str
    """SHA-256 of the logits of a short row."""
    proof: Proof | None = None
    choice: EngineChoice | None = None


def proved(model: Model) -> Proof:
    """The proof of a model, read from the cache or made; see `prove`.

    Raises:
        InterventionError: when the model as a whole fails, or no kind of site is left.
    """
    entry = _entry(model)
    if entry.proof is not None:
        return entry.proof.model_copy(update={"cached": True})
    proof = prove(model)
    _keep(entry, proof=proof)
    return proof


def engine_for(model: Model, *, memory: int | None = None) -> Engine:
    """The engine of a model; the comparison with float64 is read from the cache or made; see `choose`."""
    entry = _entry(model)
    if (choice := entry.choice) is not None:
        told = choice.model_copy(update={"cached": True})
        if choice.engine == "reference":
            return Engine(model, told, None)
        with suppress(InterventionError, RuntimeError, TypeError):  # then it is chosen anew
            return Engine(model, told, Fast(model, memory, choice.kernel))
    engine = choose(model, memory=memory)
    _keep(entry, choice=engine.choice)
    return engine


def _keep(entry: Entry, *, proof: Proof | None = None, choice: EngineChoice | None = None) -> None:
    """Add a proof or a choice to an entry; a cache that cannot be written changes nothing else."""
    entry = _read(entry)
    entry = entry.model_copy(update={"proof": proof or entry.proof, "choice": choice or entry.choice})
    path = _path(entry.key)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".new", delete=False) as stream:
            stream.write(entry.model_dump_json())
        os.replace(stream.name, path)


def _entry(model: Model) -> Entry:
    """What the cache holds of a model, or an empty entry."""
    return _read(Entry(key=_key(model), logits=_logits_hash(model)))


def _read(empty: Entry) -> Entry:
    """What the cache holds under an entry's key, where the logits are the same; else an empty entry."""
    empty = Entry(key=empty.key, logits=empty.logits)
    try:
        found = read_document(_path(empty.key), Entry, MOST_BYTES)
    except InputError:  # none, or damaged: proved again
        return empty
    return found if (found.key, found.logits) == (empty.key, empty.logits) else empty


def _path(key: str) -> Path:
    return cache_folder() / "proofs" / f"{key}.json"


def _key(model: Model) -> str:
    """Hash of weights, architecture, machine and source."""
    return content_hash(
        {
            "weights": model.weights_hash,
            "family": repr(model.family),
            "residual": model.residual,
            "sizes": model.sizes.model_dump(mode="json"),
            "dtype": model.dtype,
            "processor": f"{processor()} {torch.backends.cpu.get_cpu_capability()}",
            "device": described(),
            "threads": torch.get_num_threads(),
            "determinism": determinism(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "source": _source_hash(),
        }
    )


@cache
def _source_hash() -> str:
    """SHA-256 over the source files that decide what is proved and how, in name order."""
    digest, package = hashlib.sha256(), Path(lesion.__file__).parent
    for path in sorted(path for room in ROOMS for path in (package / room).rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _logits_hash(model: Model) -> str:
    """SHA-256 of the logits on a short row: a changed module must not be taken for the one that was proved."""
    ids = torch.as_tensor(generator("proofs").integers(0, model.sizes.vocab_size, (1, ROW)))
    numbers = forward(model, ids).float().cpu().contiguous().numpy()
    return hashlib.sha256(numbers.tobytes()).hexdigest()
