"""How the paper calls models, targets and gates: words that hold no number, and claims where one is needed."""

import re

from lesion.report.paper.claims.claim import Register, Source
from lesion.report.paper.manuscript import Line, Name, joined, words
from lesion.report.wording.words import model_name, target_words
from lesion.study.gates.gate_verdict import GateVerdict
from lesion.study.stages.stage_table import STAGES


def models(source: Source) -> Line:
    """The study's models by name."""
    return joined([words(Name(model_name(model))) for model in source.record.manifest.study.models])


def target(register: Register, source: Source, model: str, *, licensed: bool) -> Line:
    """`the two induction heads L1H0 + L1H1`; beyond ten, their number is a claim."""
    manifest = source.record.manifest
    said = target_words(manifest, model, licensed=licensed)
    found = re.fullmatch(r"the (\S+) (.+?) (L\d.*)", said)
    if found is None:
        return words("the target")
    number, kind, sites = found.groups()
    what = f"{model_name(model)}: sites of the target"
    many = register.of_field(manifest.run, "many", what, "plan", "targets", model)
    return words("the ", many if re.search(r"\d", number) else number, f" {kind} ", Name(sites))


def last_gates(source: Source) -> list[GateVerdict]:
    """The last verdict of each stage that was reached, in order."""
    return list({gate.stage: gate for gate in source.record.manifest.gates}.values())


def failed(source: Source) -> list[GateVerdict]:
    """The gates that the run did not get past: failed, or never better than ambiguous while it stopped there."""
    manifest, gates = source.record.manifest, last_gates(source)
    return [
        gate
        for gate in gates
        if gate.outcome == "Fail"
        or (gate.outcome == "Ambiguous" and manifest.outcome == "stopped" and gate is gates[-1])
    ]


def gate_words(gate: GateVerdict) -> str:
    """`the baseline gate (Is the unedited model stable?)`."""
    return f"the {gate.stage} gate ({STAGES[gate.stage].question})"


def warned(source: Source) -> list[str]:
    """Names of checks that failed without stopping the run, each once."""
    names: dict[str, None] = {}
    for gate in last_gates(source):
        for check in gate.evidence.checks:
            if check.outcome == "Fail" and not check.blocks:
                names[check.name] = None
    return list(names)
