"""The batched engine of this project on the same weights and items; all interventions in one call."""

import sys
from dataclasses import replace

import torch
from serve import load, numbers, read_job, serve

from lesion.engine.batch import Batch
from lesion.engine.batched.engine import Fast
from lesion.engine.bench.workload import workload
from lesion.interventions.intervention import Scale
from lesion.interventions.site import head, neuron

job = read_job(sys.argv[1])
given = workload("gpt2", sys.argv[2]).model
given = replace(given, module=load(job))
site = head if job.kind == "head" else neuron
wanted = [Scale(sites=(site(layer, unit),), alpha=alpha) for layer, unit, alpha in job.wanted]
length = job.ids.shape[1]
ids = torch.cat([job.ids, job.answer[:, None]], 1)
batch = Batch(tuple(range(len(ids))), ids, length, job.wrong[:, None], ({},) * len(ids))
fast = Fast(given)


def sweep():
    """Everything, in the order of the list."""
    found = {index: numbers(outcome.logits[:, 0], job) for index, outcome in fast.run(batch, wanted)}
    return [found[index] for index in range(len(wanted))]


serve(sweep)
