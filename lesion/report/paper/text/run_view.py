"""A run as the paper's templates see it: what it is, what it decided, and its numbers as claims."""

import re
from collections.abc import Sequence
from typing import Any

from lesion.report.figures.figures import Figure
from lesion.report.figures.parts.marks import unit_words
from lesion.report.findings import positive_control
from lesion.report.paper.claims.cells import Cell, cells
from lesion.report.paper.claims.claim import SENTENCES, Claim, Register, Source, pointer
from lesion.report.paper.manuscript import Line, Name, Task, joined, words
from lesion.report.record import own
from lesion.report.wording.evidence.ablations import differing
from lesion.report.wording.evidence.replication import found
from lesion.report.wording.words import MEANINGS, model_name, outcome_words, target_words, tier_name, unit_of
from lesion.stats.verdict.ablation_agreement import ABLATIONS
from lesion.study.gates.gate_verdict import GateVerdict
from lesion.study.results import ReplicationResults
from lesion.study.stages.stage_table import STAGES

_IN_SHORT = {
    "Improvement": "a gain", "Harm": "a loss", "Null": "no effect as large as the margin",
    "Mixed": "gains on some kinds of items, losses on others", "Ambiguous": "undecided", "Inconclusive": "undecided",
    "Invalid": "not to be trusted",
}  # fmt: skip
"""Meanings of the verdicts for the abstract; `MEANINGS` has them whole."""


class RunView:
    """One run of a paper."""

    def __init__(self, register: Register, run: str, drawn: Sequence[Figure]) -> None:
        self.register, self.name, self.drawn = register, run, drawn
        self.source: Source = register.sources[run]
        self.record = self.source.record
        self.manifest = self.record.manifest
        self.study = self.manifest.study
        self.unit = unit_of(self.study).name
        self.outcome = outcome_words(self.study)
        self.parts = unit_words(self.record)
        self.cells: list[Cell] = cells(register, run)

    def number(self, kind: str, what: str, *path: str | int) -> Claim:
        """A number of the manifest at a path, as a claim of this kind."""
        return self.register.of_field(self.name, kind, what, *path)

    def sentences(self, maker: str) -> list[Claim]:
        """Sentences that the report makes of the run, each a claim: `deviations`, `limits`, `open_questions`."""
        return [self.register.told(self.name, maker, i) for i in range(len(SENTENCES[maker](self.record)))]

    def sentence(self, maker: str, place: int) -> Claim:
        """One of them."""
        return self.register.told(self.name, maker, place)

    @property
    def share(self) -> str:
        """The kind of a size on the study's scale: a share in percent, or nats as they are."""
        return "number" if self.study.continuous else "share"

    @property
    def ranked(self) -> bool:
        """Whether a cell was ranked among matched sets, or two targets were compared."""
        return any(cell.rank for cell in self.cells) or bool(self.manifest.results.dissociations)

    @property
    def replication(self) -> ReplicationResults | None:
        """What was tried on other models; nothing where the study has no replication or did not come so far."""
        return found(self.record)

    @property
    def unmapped(self) -> list[str]:
        """Other models, by name, in which nothing stands for the target."""
        return [model_name(model) for model in self.replication.unmapped] if self.replication else []

    @property
    def models(self) -> Line:
        """The study's models by name."""
        return joined([words(Name(model_name(model))) for model in self.study.models])

    def target(self, cell: Cell) -> Line:
        """`the two induction heads L1H0 + L1H1`; beyond ten, their number is a claim."""
        chosen = cell.finding.chosen
        model = chosen.model
        parts = re.fullmatch(
            r"the (\S+) (.+?) (L\d.*)",
            target_words(self.manifest, model, chosen.target, licensed=cell.finding.licensed),
        )
        if parts is None:
            return words("the target")
        number, kind, sites = parts.groups()
        many = self.number("many", f"{model_name(model)}: sites of the target", "plan", "targets", chosen.aim)
        return words("the ", many if re.search(r"\d", number) else number, f" {kind} ", Name(sites))

    def task(self, tier: str) -> Line:
        """A task by the name that a reader knows."""
        return words(Task(tier_name(self.study, tier)))

    def where(self, cell: Cell) -> Line:
        """The cell's task; the model where the study has several."""
        task = self.task(cell.finding.chosen.tier)
        return task if len(self.study.subjects) == 1 else words(Name(cell.model), ", ", task)

    def whom(self, cell: Cell) -> Line:
        """The target in short: by its name where it has one; of which model, where there are several."""
        chosen = cell.finding.chosen
        who = words(Name(chosen.target)) if chosen.target else self.target(cell)
        return who if len(self.study.subjects) == 1 else words(who, " of ", Name(cell.model))

    @property
    def targets(self) -> int:
        """How many targets, of all models, the study's own cells have."""
        return len({(cell.finding.chosen.model, cell.finding.chosen.target) for cell in self.own_cells})

    @property
    def own_cells(self) -> list[Cell]:
        """The study's own cells; the positive control is reported as a control (format 2)."""
        kept = {finding.chosen.id for finding in own(self.record)}
        return [cell for cell in self.cells if cell.finding.chosen.id in kept]

    def by_verdict(self) -> list[tuple[str, str, list[Cell]]]:
        """Each verdict that a cell of the study's own has, its meaning in short, and these cells."""
        every = self.own_cells
        sorted_cells = [
            (verdict, _IN_SHORT[verdict], [cell for cell in every if cell.finding.verdict.verdict == verdict])
            for verdict in MEANINGS
        ]
        return [each for each in sorted_cells if each[2]]

    def number_of(self, what: str, some: Sequence[Cell]) -> Claim:
        """How many cells these are."""
        fields = tuple(pointer("results", "cells", cell.finding.chosen.id, "verdict") for cell in some)
        return self.register.of_listed(self.name, "entries", what, fields)

    def number_of_own_cells(self) -> Claim:
        """How many cells the study's own are."""
        if len(self.own_cells) == len(self.record.findings):
            return self.number("many", "cells of the family", "plan", "family")
        return self.number_of("cells without the positive control", self.own_cells)

    def largest(self) -> list[tuple[str, Cell]]:
        """Each model, and its cell with the largest change."""
        by_model = {
            model: [cell for cell in self.own_cells if cell.finding.chosen.model == model]
            for model in self.study.models
        }
        return [
            (model_name(model), max(some, key=lambda cell: abs(cell.finding.verdict.delta or 0.0)))
            for model, some in by_model.items()
            if some
        ]

    def other_ablations(self, cell: Cell) -> list[Line]:
        """Those that disagree with the ablation that decides, each with its change."""
        apart = differing(cell.finding)
        pairs = zip(ABLATIONS, cell.ablations, strict=False)
        return [words(f"{name} ", claim) for name, claim in pairs if name in apart and claim is not None]

    @property
    def control(self) -> Any:
        """The positive control: its tier, and models for which it holds and for which it fails; or nothing."""
        control = positive_control(self.manifest)
        if control is None:
            return None
        models = {
            held: joined([words(Name(model_name(model))) for model, holds in control.holds.items() if holds is held])
            for held in (True, False)
        }
        return {"tier": control.tier, "holds": models[True], "fails": models[False]}

    @property
    def last_gates(self) -> list[GateVerdict]:
        """The last verdict of each stage that was reached, in order."""
        return list({gate.stage: gate for gate in self.manifest.gates}.values())

    @property
    def failed_gates(self) -> list[tuple[GateVerdict, str, str]]:
        """The gates that the run did not get past, each with its question and the consequence.

        They failed, or were never better than ambiguous while the run stopped there.
        """
        stopped = self.manifest.outcome == "stopped"
        return [
            (gate, STAGES[gate.stage].question, STAGES[gate.stage].consequence)
            for gate in self.last_gates
            if gate.outcome == "Fail" or (gate.outcome == "Ambiguous" and stopped and gate is self.last_gates[-1])
        ]

    @property
    def warnings(self) -> list[str]:
        """Names of checks that failed without stopping the run, each once."""
        checks = [check for gate in self.last_gates for check in gate.evidence.checks]
        return list(dict.fromkeys(check.name for check in checks if check.outcome == "Fail" and not check.blocks))


def limits_of(runs: Sequence[RunView]) -> list[tuple[Line, Claim]]:
    """Every limit once, and the studies that it is of: nobody is named where it is one of all."""
    said: dict[str, tuple[Claim, list[Line]]] = {}
    for run in runs:
        for limit in run.sentences("limits"):
            said.setdefault(limit.text, (limit, []))[1].append(words(Name(run.study.name)))
    return [(() if len(whose) == len(runs) else joined(whose), limit) for limit, whose in said.values()]
