"""What the terminal shows of finished runs: one run, two runs side by side, the list, and notes; 80 columns."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lesion.report.wording.scenario_words import scenario_words
from lesion.report.wording.words import labelled, model_name, tier_name
from lesion.runs.index.ledger import Entry
from lesion.runs.manifest.command import Call
from lesion.runs.manifest.run import Manifest
from lesion.study.plan import Chosen

if TYPE_CHECKING:
    from lesion.runs.index.notes import Note

WIDTH = 80


def shown(manifest: Manifest, folder: Path, marks: Sequence[str] = ()) -> dict[str, Any]:
    """A run as a document: what was asked, how it ended, on what it ran, what it cost."""
    code, cost = manifest.code, manifest.cost
    return {
        "run": manifest.run,
        "folder": str(folder),
        "command": manifest.command,
        "status": manifest.status,
        "marks": list(marks),
        "outcome": manifest.outcome,
        "reason": manifest.ending.reason,
        "question": manifest.study.question,
        "scenario": manifest.results.scenario,
        "said": scenario_words(manifest),
        "verdicts": {name: cell.verdict for name, cell in manifest.results.cells.items()},
        "labels": {chosen.id: _label(manifest, chosen) for chosen in manifest.plan.family},
        "gates": [f"{gate.stage} {gate.outcome}" for gate in manifest.gates],
        "deviations": list(manifest.deviations),
        "models": {m.name: m.weights_hash for m in manifest.models},
        "items": sum(fact.items for fact in manifest.datasets),
        "excluded": sum(fact.excluded for fact in manifest.datasets),
        "commit": code.commit,
        "dirty": code.dirty,
        "version": code.version,
        "python": manifest.environment.python,
        "torch": manifest.environment.packages.get("torch", ""),
        "processor": manifest.environment.processor,
        "device": manifest.environment.device,
        "started": cost.started,
        "wall_seconds": cost.wall_seconds,
        "cpu_seconds": cost.cpu_seconds,
        "files": len(manifest.files),
        "rows_hash": manifest.rows_hash,
        "seal": manifest.seal,
        "replay_of": manifest.replay_of,
        "match": manifest.match,
    }


def _label(manifest: Manifest, chosen: Chosen) -> str:
    """A cell as the report names it: `resample-ablating on sums`, the model behind it where there are several."""
    study = manifest.study
    whose = f" ({model_name(chosen.model)})" if len(study.subjects) > 1 else ""
    return f"{labelled(chosen)} on {tier_name(study, chosen.tier)}{whose}"


def show_words(document: dict[str, Any]) -> str:
    """The document of `shown` for people."""
    dirty = ", tree dirty" if document["dirty"] else ""
    lines = [
        _line("run", document["run"]),
        _line("status", ", ".join([document["status"], document["outcome"], *document["marks"]])),
        *(_line("", text) for text in document.get("claimed", ())),
        _line("question", document["question"]),
        _line("scenario", document["said"]),
        *(
            _line("verdict", f"{document['labels'].get(name, name)}: {said}")
            for name, said in document["verdicts"].items()
        ),
        _line("gates", "; ".join(document["gates"])),
        *(_line("deviation", text) for text in document["deviations"]),
        *(_line("model", f"{name} (weights {digest[:12]})") for name, digest in document["models"].items()),
        _line("questions", f"{document['items']:,}, {document['excluded']:,} excluded"),
        _line("code", f"{document['version']}, commit {(document['commit'] or 'none')[:12]}{dirty}"),
        _line("machine", f"{document['processor']}, Python {document['python']}, torch {document['torch']}"),
        *([] if document["device"] == "cpu" else [_line("device", document["device"])]),
        _line("took", f"{document['wall_seconds']:.0f} s, {document['cpu_seconds']:.0f} s of processor"),
        _line("started", document["started"]),
        _line("rows", document["rows_hash"]),
        _line("seal", document["seal"]),
    ]
    if document["outcome"] == "stopped":
        lines.insert(2, _line("stopped", document["reason"]))
    if document["match"]:
        lines.append(_line("repeats", f"{document['replay_of'][:12]}: {document['match']}"))
    return "\n".join(lines)


def call_shown(call: Call, folder: Path) -> dict[str, Any]:
    """A command that is no study as a document: what it was given, on what it ran, what it cost."""
    code, cost = call.code, call.cost
    return {
        "run": call.run,
        "folder": str(folder),
        "command": call.command,
        "status": call.status,
        "outcome": call.outcome,
        "exit_code": call.exit_code,
        "parameters": call.parameters,
        "inputs": {name: given.sha256 or given.seal for name, given in call.inputs.items()},
        "outputs": call.outputs,
        "models": {m.name: m.weights_hash or m.tokenizer_hash for m in call.models},
        "datasets": {f"{d.tier}, seed {d.seed}": d.dataset_hash for d in call.datasets},
        "commit": code.commit,
        "dirty": code.dirty,
        "version": code.version,
        "processor": call.environment.processor,
        "device": call.environment.device,
        "started": cost.started,
        "wall_seconds": cost.wall_seconds,
        "cpu_seconds": cost.cpu_seconds,
        "result_hash": call.result_hash,
        "log": call.log,
        "seal": call.seal,
        "replay_of": call.replay_of,
        "match": call.match,
    }


def call_words(document: dict[str, Any]) -> str:
    """The document of `call_shown` for people."""
    dirty = ", tree dirty" if document["dirty"] else ""
    ended = f"{document['outcome']}, code {document['exit_code']}"
    lines = [
        _line("run", document["run"]),
        _line("command", f"lesion {document['command']} ({document['status']}, {ended})"),
        *(_line("", f"{name} = {value}") for name, value in document["parameters"].items()),
        *(_line("given", f"{name} {digest[:12]}") for name, digest in document["inputs"].items()),
        *(_line("wrote", f"{name} {digest[:12]}") for name, digest in document["outputs"].items()),
        *(_line("model", f"{name} ({digest[:12]})") for name, digest in document["models"].items()),
        *(_line("questions", f"{name} ({digest[:12]})") for name, digest in document["datasets"].items()),
        _line("code", f"{document['version']}, commit {(document['commit'] or 'none')[:12]}{dirty}"),
        _line("took", f"{document['wall_seconds']:.1f} s, {document['cpu_seconds']:.1f} s of processor"),
        _line("started", document["started"]),
        _line("log", document["log"]),
        _line("result", document["result_hash"]),
        _line("seal", document["seal"]),
    ]
    if document["match"]:
        lines.append(_line("repeats", f"{document['replay_of'][:12]}: {document['match']}"))
    return "\n".join(lines)


def runs_words(listed: Sequence[Entry], unreadable: Sequence[str], unfinished: Sequence[str]) -> str:
    """All runs, the oldest first, one a line, in columns as wide as they must be."""
    rows = [("run", "status", "scenario", "replayed"), *map(_row, listed)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join([*map(str.ljust, row, widths), row[3]]).rstrip() for row in rows]
    lines += [f"{plain(entry.run)}: {plain(text)}" for entry in listed for text in entry.claimed]
    lines += [f"{plain(name)}: begun and not finished" for name in unfinished]
    return "\n".join(
        [*lines, *(f"{plain(name)}: its manifest cannot be trusted; see lesion verify" for name in unreadable)]
    )


def _row(entry: Entry) -> tuple[str, str, str, str]:
    done = entry.match or "" if entry.replay_of else ("yes" if entry.replayed else "no")
    said = [name for name in entry.standings if name in ("stopped", "superseded", "complete")]
    if entry.outcome == "failed":
        said.append("failed")
    status = "+".join([entry.status, *said]) + ("?" if entry.claimed else "")
    tags = " ".join(f"#{tag}" for tag in entry.tags)
    scenario = (entry.scenario or "-") if entry.outcome == "complete" else "-"
    return plain(entry.run), status, plain(scenario), f"{done:<8} {tags}" if tags else done


def diff_words(document: dict[str, Any], most: int = 20) -> str:
    """A comparison of two runs, or of two commands, for people.

    Args:
        document: a `Comparison` or a `CallsCompared` as JSON.
        most: changes shown of each part.
    """
    parts = ("parameters", "environment", *(["verdicts"] if "verdicts" in document else []))
    lines = [f"1  {document['first']}", f"2  {document['second']}", f"Grade: {document['grade']}"]
    for part in parts:
        changes = document[part]
        lines.append(f"{part.capitalize()}: {'the same' if not changes else f'{len(changes)} differ'}")
        for change in changes[:most]:
            lines += [f"  {change['what']}", f"    1  {_short(change['first'])}", f"    2  {_short(change['second'])}"]
        if len(changes) > most:
            lines.append(f"  … and {len(changes) - most} more (--json has them all)")
    if "rows" in document:
        return "\n".join([*lines, *_row_words(document["rows"])])
    places = [f"  {_short(where)}" for where in document["result"][:most]]
    told = f"{len(document['result'])} values differ" if places else "no value differs, as far as both are at hand"
    return "\n".join([*lines, f"Result: {told}", *places])


def _row_words(rows: dict[str, Any]) -> Iterable[str]:
    if rows["same_hash"]:
        yield "Rows: the same, bit for bit"
    elif not rows["compared"]:
        yield "Rows: other hashes; the rows themselves are not at hand in both folders"
    else:
        yield (
            f"Rows: {rows['differing']:,} of {rows['shared']:,} shared rows differ, {rows['flips']:,} answers flip; "
            f"{rows['only_first']:,} in run 1 only, {rows['only_second']:,} in run 2 only"
        )
        yield f"  largest difference {rows['largest']:.3g}, noise floor {rows['noise_floor']:.3g}"
        yield from (f"  {example}" for example in rows["examples"])


def dossier_words(document: dict[str, Any]) -> str:
    """All that a fresh replay would run: commit, origin, packages, own tasks' code and the difference, whole."""
    changed = document["diff"].splitlines()
    packages = ", ".join(f"{name} {version}" for name, version in document["packages"].items())
    lines = [
        _line("run", document["run"]),
        _line("commit", document["commit"]),
        _line("origin", document["remote"] or "none"),
        _line("python", document["python"]),
        _line("packages", packages),
        *(_line("model", f"{name} (weights {digest[:12]})") for name, digest in document["models"].items()),
    ]
    for digest, text in document["code"].items():
        lines += [_line("code", f"a task of the study runs this Python file, SHA-256 {digest}")]
        lines += [f"  {plain(line)}" for line in text.splitlines()]
    lines += [
        _line("difference", f"{len(changed):,} lines on top of the commit" if changed else "none: the tree was clean"),
        *(f"  {plain(line)}" for line in changed),
    ]
    return "\n".join(lines)


def table_words(columns: Sequence[str], rows: Sequence[Sequence[Any]], height: int) -> str:
    """The answer to a query as aligned columns; a cell holds at most 40 characters."""
    cells = [[*map(plain, columns)], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join([*lines, f"{height:,} rows" + (f", {len(rows):,} shown" if height > len(rows) else "")])


def _cell(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else "-" if value is None else plain(str(value))
    return text if len(text) <= 40 else f"{text[:39]}…"


def notes_words(listed: "Sequence[Note]") -> str:
    """Notes, the oldest first: time, kind, topic, and the runs that they are about."""
    lines: list[str] = []
    for note in listed:
        lines.append(plain(f"{note.time[:16].replace('T', ' ')}  {note.kind:<9}  {note.topic}"))
        lines += [f"  {plain(note.path.name)}", *(f"  about {plain(run)}" for run in note.runs)]
    return "\n".join(lines) or "No notes."


def _line(name: str, text: str) -> str:
    """A name and what is said of it, wrapped at 80 columns; control characters stay visible."""
    indent = 11
    words, lines = plain(text).split(" "), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > WIDTH - indent:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return f"{name:<{indent}}" + f"\n{'':<{indent}}".join(lines)


def _short(text: str) -> str:
    text = plain(text)
    return text if len(text) <= WIDTH - 7 else f"{text[: WIDTH - 8]}…"


def plain(text: str) -> str:
    r"""Text on one line, without characters that steer a terminal.

    >>> plain("a\n\x1b[31mb")
    'a ?[31mb'
    """
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)
