"""What all sides of the benchmark on real weights share: jobs of heads to zero, and the numbers that are asked for.

A side is a process of its own, in its own environment. It does every job once and prints one line of JSON: of each job
the log-probabilities, and seconds by the clock and of the processor.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

Heads = list[tuple[int, int]]
"""(layer, head), zeroed together; none: the model as it is."""


class Job(NamedTuple):
    """Rows of tokens and what is done to the model while it reads them."""

    ids: Tensor
    """(rows, tokens), answer included."""
    first: int
    """Where the answer begins."""
    wanted: list[Heads]


def read() -> tuple[Path, dict[str, Job]]:
    """The folder of the weights, and the jobs by name; sets the number of threads, and turns gradients off."""
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(given["threads"])
    torch.set_grad_enabled(False)
    jobs = {
        name: Job(
            torch.tensor(job["ids"]), job["first"], [[(layer, head) for layer, head in one] for one in job["wanted"]]
        )
        for name, job in given["jobs"].items()
    }
    return Path(given["model"]), jobs


def load(folder: Path, attention: str = "sdpa") -> Any:
    """The model as transformers gives it."""
    found = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention)
    return found.eval().requires_grad_(False)


def numbers(logits: Tensor, job: Job) -> list[float]:
    """(rows, answer, vocab) logits -> mean log-probability of each row's answer tokens, nats."""
    answer = job.ids[:, job.first :]
    return logits.float().log_softmax(-1).gather(2, answer[..., None])[..., 0].mean(1).tolist()


def each(one: Callable[[Job, Heads], Tensor]) -> Callable[[Job], list[list[float]]]:
    """A side that runs one intervention at a time and gives the answer's logits."""
    return lambda job: [numbers(one(job, heads), job) for heads in job.wanted]


def answer(jobs: dict[str, Job], work: Callable[[Job], list[list[float]]]) -> None:
    """Do every job and print what came out."""
    found = {}
    for name, job in jobs.items():
        wall, processor = time.perf_counter(), time.process_time()
        gave = work(job)
        spent = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        found[name] = {"numbers": gave, **spent}
    print(json.dumps(found), flush=True)
