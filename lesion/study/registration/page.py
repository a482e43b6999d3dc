"""A registration as Markdown, for people: what it freezes, what it changed, and what had been seen by then."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from lesion.study.arms.arm import REFERENCE, zeroes
from lesion.study.registration.registration import Registration
from lesion.study.stages.confirmatory_cells import family_size
from lesion.study.stages.replication import REACH
from lesion.study.stages.transitions import DETECTOR_RETRIES, TOOLING_RETRIES


def readable(registration: Registration, told: Sequence[str] = ()) -> str:
    """The page, from the template `page.md.jinja`.

    Args:
        registration: what was frozen.
        told: amendments and earlier runs, in sentences; the oldest first.
    """
    study = registration.study
    spread = study.baseline.spread
    return _template().render(
        registration=registration,
        study=study,
        told=[" ".join(line.split()) for line in told],
        cells=family_size(study),
        alpha=f"{study.verdict.alpha / study.verdict.looks:g}",
        spread=f"{spread:g} nats" if study.continuous else f"{100 * spread:g} points",
        ablations=study.sweep.ablations if zeroes(study) else (),
        reference=REFERENCE,
        reach=REACH,
        tooling_retries=TOOLING_RETRIES,
        detector_retries=DETECTOR_RETRIES,
    )


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("lesion.study.registration", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.md.jinja")
