"""This project on the same weights and rows: all interventions of a job in one call of the engine that it chose."""

from real_work import answer, numbers, read

from lesion.engine.batch import batches
from lesion.engine.proof.cache import engine_for
from lesion.interventions.intervention import Scale
from lesion.interventions.site import head
from lesion.models.model import open_model
from lesion.tasks.tokenizers.prompt_contract import Compiled

folder, jobs = read()
engine = engine_for(open_model(str(folder)))


def work(job):
    """The unedited model first where it is asked for, then everything else together."""
    rows, cut = [tuple(row) for row in job.ids.tolist()], job.first
    (batch,) = batches([Compiled(row, {}, row[cut:], row[cut:], cut, None) for row in rows], len(rows))
    edits = {n: Scale(sites=tuple(head(*one) for one in some), alpha=0.0) for n, some in enumerate(job.wanted) if some}
    found = {n: numbers(engine.clean(batch), job) for n, some in enumerate(job.wanted) if not some}
    places = list(edits)
    for index, outcome in engine.run(batch, list(edits.values())):
        found[places[index]] = numbers(outcome.logits, job)
    return [found[n] for n in range(len(job.wanted))]


answer(jobs, work)
