"""The scenario's word with what it must not be read without: whether the effects behind it are specific."""

from lesion.report.findings import Finding, findings_of, positive_control
from lesion.runs.manifest.run import Manifest


def scenario_words(manifest: Manifest) -> str:
    """`Harm, specificity not shown`: the scenario, and specificity where it names an effect.

    Specificity is *shown* where the target exceeds its matched sets, *not shown* where it does not, *not evaluable*
    where too few sets were measured or none.
    """
    name = manifest.results.scenario
    if name not in ("Harm", "Improvement", "Mixed") or manifest.study.claims is None:
        return name
    control = positive_control(manifest)
    effects = [
        finding
        for finding in findings_of(manifest)
        if finding.verdict.verdict in ("Harm", "Improvement", "Mixed")
        and not (control is not None and finding.chosen.tier == control.tier and finding.chosen.ablation is not None)
    ]
    if not effects:
        return name
    kinds = [_kind(finding) for finding in effects]
    if len({*kinds}) == 1:
        return f"{name}, specificity {kinds[0]}"
    counted = (f"{kind} in {kinds.count(kind)}" for kind in ("shown", "not shown", "not evaluable") if kind in kinds)
    return f"{name}, specificity {', '.join(counted)} of {len(kinds)} effects"


def _kind(finding: Finding) -> str:
    if finding.rank is None or finding.rank.status not in ("specific", "not specific"):
        return "not evaluable"
    return "shown" if finding.rank.status == "specific" else "not shown"
