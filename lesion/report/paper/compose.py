"""From runs to the manuscript: each section from its template, a person's passages between them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lesion.report.figures.figures import Figure
from lesion.report.paper.claims.claim import Register
from lesion.report.paper.manuscript import Cited, Listing, Manuscript, Name, Section, Theirs, Works, inlines
from lesion.report.paper.select_runs import Cast
from lesion.report.paper.tables import appendix, dissociation, replication, settings, studies
from lesion.report.paper.text import interventions
from lesion.report.paper.text.hypotheses import hypotheses
from lesion.report.paper.text.prose import PLACES, abstract, passage, pictured
from lesion.report.paper.text.references import WORKS
from lesion.report.paper.text.run_view import RunView, limits_of
from lesion.report.paper.text.sections import Sections
from lesion.runs.index.notes import Note

LEADING = ("verdicts", "dissociation", "replication")
"""Figures that stand among the results; the others stand in the supplement."""
OF_SEVERAL = ("verdicts", "replication")
"""The same in a paper on several studies: the verdicts show what a dissociation is made of; a table has its leads."""
HASH_DIGITS = 16
"""Digits of a hash in a sentence; the supplement has it whole."""
MOST_NAMED = 5
"""The abstract names so many cells one by one; of more it counts verdicts and names each model's largest change."""
BODY = ("abstract", "question", "methods", "results", "limitations", "open-questions", "reproducibility")
_AFTER = {
    "abstract": ("introduction", "related-work"),
    "methods": ("methods",),
    "results": ("results", "discussion"),
    "limitations": ("limitations",),
    "reproducibility": ("acknowledgements",),
}
"""Section -> passages of a person that follow it."""


class Composed(NamedTuple):
    """What is written about some runs."""

    paper: Manuscript
    supplement: Manuscript
    """Tables for those who look closer: seeds, kinds of items, all runs, formulas."""


def compose(
    picked: Cast, register: Register, drawn: Mapping[str, Sequence[Figure]], prose: Mapping[str, str],
    notes: Sequence[Note],
) -> Composed:  # fmt: skip
    """The paper and its supplement.

    Args:
        picked: the runs.
        register: takes the claims, in the order in which the text makes them.
        drawn: run -> its figures.
        prose: name of a passage -> what a person wrote.
        notes: about these runs.
    """
    sections = Sections()
    values = _values(picked, register, drawn, notes)
    several = len(picked.sources) > 1
    values["brief"] = several and "limitations" in prose
    names = [run.study.name for run in values["runs"]]
    ranked = [run.study.name for run in values["runs"] if run.ranked]
    values["pictured"] = pictured(prose["figures"], names) if "figures" in prose else ranked if several else names
    own = [sections.section(key, **values) for key in BODY if key != "open-questions" or not several]
    tables_section = sections.section("tables", **values)
    of_several = [sections.section(key, **values) for key in ("registrations", "open-questions") if several]
    runs_section = sections.section("runs", **values, **_audit(picked, register))
    audit = sections.section("audit", **values, **_audit(picked, register))
    written = {name: text for name, text in prose.items() if PLACES[name] and name != "abstract"}
    added = {name: passage(name, text, register.claims) for name, text in written.items()}
    computed = own[0]
    if "abstract" in prose:
        own[0] = abstract(prose["abstract"], register.claims, sections.section("caveats", **values).blocks)
    body = [part for section in own for part in (section, *_passages(section, added))]
    if asked := hypotheses(picked, prose.get("outcomes", ""), register.claims):
        body.insert(next(i for i, part in enumerate(body) if part.key == "results"), asked)
    cited = {each.key for part in body for each in inlines(part.blocks) if isinstance(each, Cited)}
    works = Works(tuple((key, work.text) for key, work in WORKS.items() if key in cited))
    study = list(picked.sources.values())[-1].record.manifest.study
    title = prose.get("title", f"A study of causal interventions: {study.name}")
    under = prose.get("authors", "" if several else study.question)
    badge = sections.line("badge", **values)
    references = sections.section("references", works=works)
    opening = () if computed in own else (computed,)
    ending, closer = (
        ((references,), (*of_several, tables_section, runs_section, audit))
        if several
        else ((runs_section, references), (tables_section, audit))
    )
    return Composed(
        Manuscript((Theirs(title),), (Theirs(under),) if under else (), badge, (*body, *ending)),
        Manuscript((Theirs(f"Supplement: {title}"),), (), badge, (*opening, *closer)),
    )


def _passages(section: Section, added: Mapping[str, Section]) -> list[Section]:
    key = section.key.removeprefix("prose-")
    return [added[name] for name in _AFTER.get(key, ()) if name in added]


def _values(
    picked: Cast, register: Register, drawn: Mapping[str, Sequence[Figure]], notes: Sequence[Note]
) -> dict[str, Any]:
    """What the templates of all sections see."""
    runs = [RunView(register, run, drawn[run]) for run in picked.sources]
    commands = "\n".join(f"lesion replay runs/{run}/manifest.json --fresh" for run in picked.sources)
    return {
        "runs": runs,
        "provisional": any(source.provisional for source in picked.sources.values()),
        "drifted": picked.drifted,
        "notes": notes,
        "commands": Listing(commands),
        "leading": LEADING if len(runs) == 1 else OF_SEVERAL,
        "most_named": MOST_NAMED,
        "hash": _short_hash,
        **{function.__name__: function for function in _FUNCTIONS},
    }


_FUNCTIONS = (
    replication.replication_answers, replication.replication_sentences, replication.pooled_table,
    replication.replicas_table, studies.models_table, studies.tasks_table, studies.changes_table,
    studies.registrations_table, studies.gates_table, studies.verdicts_table, studies.ablations_table,
    studies.baseline_table, studies.loud_sets_table, studies.parts_table, limits_of,
    dissociation.dissociations_table, interventions.screened, interventions.other_edits, interventions.scaling,
    settings.common_settings, settings.differing_settings, settings.common_costs, settings.differing_costs,
)  # fmt: skip


def _short_hash(text: str) -> Name:
    return Name(text[:HASH_DIGITS])


def _audit(picked: Cast, register: Register) -> dict[str, Any]:
    """What the tables of runs and formulas see besides: made last, when every other claim is made."""
    every_run = register.of_audit("runs of this study, whatever came of them")
    return {
        "every_run": every_run,
        "rule": picked.rule,
        "audited": appendix.audited_runs(register.audit_table),
        "runs_listed": appendix.runs_table(register.audit_table),
        "formulas": appendix.formulas(register.claims),
    }
