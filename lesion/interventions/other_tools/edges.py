"""Names in other tools' circuits that are no activations here: edges, the inputs of nodes, the ends of a graph.

Nothing here edits what flows from one node to another alone, so such a name is refused by what it is, with the site
that comes next to it. EAP-IG (src/eap/graph.py of github.com/hannamw/EAP-IG) writes edges as `input->a0.h1<q>`,
`a5.h1->a7.h2<k>`, `a5.h1->m6` and `m3->logits`; AutoCircuit (types.py and model_utils/transformer_lens_utils.py under
auto_circuit/ of github.com/UFO-101/auto-circuit) as `Resid Start->A0.1.Q`, `A5.1->A7.2.K`, `A5.1->MLP 6` and
`MLP 3->Resid End`.
"""

import re
from typing import NamedTuple

_BEGINNINGS = ("input", "Resid Start")
_ENDS = ("logits", "Resid End", "Resid Final")
_HEAD = re.compile(r"a(\d{1,5})\.h(\d{1,6})(?:<([qkv])>)?|A(\d{1,5})\.(\d{1,6})(?:\.([QKV]))?", re.ASCII)
_MLP = re.compile(r"(?:m|MLP )(\d{1,5})", re.ASCII)
_STREAM = re.compile(r"Block (\d{1,5}) Resid (Mid|Post)", re.ASCII)
_INPUTS = {"q": "queries", "k": "keys", "v": "values"}
_LIKE = "a5.h1, m5, input, A5.1, MLP 5 or Resid Start to a7.h2<k>, m6, logits, A7.2.K, MLP 6 or Resid End"


class _Head(NamedTuple):
    """A head, or one of its three inputs."""

    layer: int
    number: int
    letter: str
    """`q`, `k` or `v`; empty for the whole head."""

    def __str__(self) -> str:
        return f"L{self.layer}H{self.number}"


def refusal(name: str) -> str | None:
    """Why a name of EAP-IG or AutoCircuit is no site, and what to take instead; none when it is no such name.

    >>> refusal("a5.h1->m6")
    "'a5.h1->m6' is an edge, from L5H1 to what the MLP of layer 6 reads, and no site: edit what it leaves, L5H1"
    >>> refusal("L5H1") is None
    True
    """
    if "->" in name:
        return _edge(name[:80])
    if name in _ENDS:
        return (
            f"'{name}' is the end of a graph, no site: it reads the last stream, L12.resid_pre in a model of 12 layers"
        )
    if name == "input":
        return (
            "'input' is the embedding before a model that learns positions adds them, no site: the stream that enters "
            "the first block is L0.resid_pre"
        )
    head = _head(name)
    return _input(name, head) if head and head.letter else None


def _input(name: str, head: _Head) -> str:
    """One head's own copy of the stream, from which its queries, keys or values are computed."""
    what = _INPUTS[head.letter]
    theirs = f"{head}.q" if head.letter == "q" else f"those of its group, L{head.layer}G0.{head.letter} and so on"
    return f"'{name}' is what the {what} of {head} are computed from, no site: the {what} themselves are {theirs}"


def _edge(name: str) -> str:
    """The two ends of an edge; what to edit: the site that it leaves, or between heads and to the end a path."""
    source, _, target = name.partition("->")
    leaves, reads = _leaves(source), _reads(target)
    if leaves is None or reads is None:
        strange = source if leaves is None else target
        return f"'{name}': '{strange}' is no node that an edge can have there; edges go from {_LIKE}"
    told = f"'{name}' is an edge, from {leaves} to {reads}, and no site: edit what it leaves, {leaves}"
    receiver = _head(target)
    if not _head(source) or not (receiver or target in _ENDS):
        return told
    end = f" --to {receiver}" if receiver else ""
    return f"{told}, or the path with all MLPs on it: lesion patch MODEL --path --sites {leaves}{end}"


def _leaves(source: str) -> str | None:
    """The site that an edge leaves, as it is written here."""
    if source in _BEGINNINGS:
        return "L0.resid_pre"
    if head := _head(source):
        return None if head.letter else str(head)
    mlp = _MLP.fullmatch(source)
    return f"L{int(mlp[1])}.mlp_out" if mlp else None


def _reads(target: str) -> str | None:
    """What an edge ends in, in words."""
    if target in _ENDS:
        return "the stream behind the last block"
    if head := _head(target):
        return f"what the {_INPUTS[head.letter]} of {head} are computed from" if head.letter else f"what {head} reads"
    if mlp := _MLP.fullmatch(target):
        return f"what the MLP of layer {int(mlp[1])} reads"
    if stream := _STREAM.fullmatch(target):
        return f"L{int(stream[1])}.resid_mid" if stream[2] == "Mid" else f"L{int(stream[1]) + 1}.resid_pre"
    return None


def _head(name: str) -> _Head | None:
    match = _HEAD.fullmatch(name)
    if match is None:
        return None
    layer, index, letter = (group or "" for group in (match.groups()[:3] if match[1] else match.groups()[3:]))
    return _Head(int(layer), int(index), letter.lower())
