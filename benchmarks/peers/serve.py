"""What all sides of the benchmark share: the job, the numbers that are asked for, and a loop that times on request.

A side is a process of its own, in its own environment. It reads a job (weights, items, interventions), says `ready`,
and answers every line on standard input by doing all its interventions once and printing one JSON line: seconds by the
clock, seconds of processor time, peak memory so far, and (only for `check`) the numbers.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM


class Job(NamedTuple):
    """What a side has to do."""

    model: Path
    """Folder of the weights, as transformers saves them."""
    ids: Tensor
    """(prompts, tokens)."""
    answer: Tensor
    """(prompts,): the right next token."""
    wrong: Tensor
    """(prompts,): the twin's."""
    kind: str
    """`head` or `neuron`."""
    wanted: list[tuple[int, int, float]]
    """(layer, head or neuron, alpha)."""


def read_job(path: str) -> Job:
    """Read a job; sets the number of threads, and turns gradients off."""
    given = json.loads(Path(path).read_text(encoding="utf-8"))
    torch.set_num_threads(given["threads"])
    torch.set_grad_enabled(False)
    tensors = (torch.tensor(given[name]) for name in ("ids", "answer", "wrong"))
    wanted = [(layer, unit, alpha) for layer, unit, alpha in given["wanted"]]
    return Job(Path(given["model"]), *tensors, given["kind"], wanted)


def load(job: Job) -> Any:
    """The model as transformers gives it."""
    return AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32).eval()


def numbers(last: Tensor, job: Job) -> Tensor:
    """(prompts, vocab) last logits -> (3, prompts): answer log-probability, entropy, logit difference."""
    answer, wrong = (last.gather(1, ids[:, None])[:, 0] for ids in (job.answer, job.wrong))
    total, entropy = torch.empty_like(answer), torch.empty_like(answer)
    few = max(1, 400_000 // last.shape[1])  # rows at a time that stay in the processor's cache
    for begin in range(0, len(last), few):
        rows = slice(begin, begin + few)
        some, most = last[rows], last[rows].amax(-1, keepdim=True)
        weight = (some - most).exp_()
        mass = weight.sum(-1)
        total[rows] = most[:, 0] + mass.log()
        entropy[rows] = total[rows] - torch.linalg.vecdot(weight, some) / mass
    return torch.stack([answer - total, entropy, answer - wrong])


def each(job: Job, one: Callable[[int, int, float], Tensor]) -> Callable[[], list[Tensor]]:
    """A side that runs one intervention at a time and gives the last logits."""
    return lambda: [numbers(one(*wanted), job) for wanted in job.wanted]


def serve(sweep: Callable[[], list[Tensor]]) -> None:
    """Answer until standard input ends."""
    print("ready", flush=True)
    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        found = sweep()
        spent = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        spent["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        said = {"numbers": torch.stack(found).tolist()} if line.strip() == "check" else {}
        print(json.dumps({**spent, **said}), flush=True)
