"""The trainer: the same recipe gives the same bits, killed or not."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lesion.errors import InputError
from lesion.models.model import open_model
from lesion.training import trainer
from lesion.training.checkpoint import FILE, State, load_checkpoint
from lesion.training.evaluation.accuracy import Examination
from lesion.training.evaluation.report import REPORT, TrainingReport
from lesion.training.mixture import draw_batch
from lesion.training.network import decay_groups, new_network
from lesion.training.recipe import Optimiser, Recipe, Shape, Stage
from lesion.training.stopping import Until
from lesion.training.trainer import head_factors, learning_rate, train

SMALL = Recipe(
    name="small",
    about="A test.",
    family="llama",
    shape=Shape(layers=2, width=32, heads=4, mlp=32),
    steps=20,
    batch=4,
    stage=Stage(heads=1, most=10),
    drop=0.5,
    optimiser=Optimiser(warmup=5),
    measure_every=15,
    checkpoint_every=5,
    keep=(4,),
)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def early_stage():
    """Stages end at step 10, so that a short training crosses the border."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "_STAGE_FROM", 10)
        patch.setattr(trainer, "_STAGE_EVERY", 5)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory, early_stage):
    folder = tmp_path_factory.mktemp("trained")
    return folder, train(SMALL, folder)


def test_a_training_leaves_a_model_a_report_and_the_kept_checkpoint(trained):
    folder, report = trained
    assert TrainingReport.model_validate_json((folder / REPORT).read_bytes()) == report
    assert report.stage_end == 10
    assert [measurement.step for measurement in report.history] == [15, 20]
    assert open_model(str(folder / "checkpoints" / "step-000004")).sizes == open_model(str(folder)).sizes
    assert weights(folder / "checkpoints" / "step-000004") != weights(folder)
    assert not (folder / FILE).exists()
    assert not list(folder.glob(".*"))


def test_the_same_recipe_gives_the_same_bits(trained, tmp_path):
    torch.manual_seed(99)  # the global generator has no say
    report = train(SMALL, tmp_path)
    assert weights(tmp_path) == weights(trained[0])
    assert report.history == trained[1].history


def test_another_seed_gives_other_weights(trained, tmp_path, early_stage):
    train(SMALL.model_copy(update={"seed": 1, "steps": 2}), tmp_path)
    assert weights(tmp_path) != weights(trained[0])


def test_a_finished_training_is_not_repeated(trained):
    folder, report = trained
    steps: list[object] = []
    assert train(SMALL, folder, on_progress=steps.append) == report
    assert steps == []


def run(recipe: Recipe, folder: Path, on_progress: str) -> subprocess.CompletedProcess[bytes]:
    """Train in a process of its own, as a user does, with the early end of the stage."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from lesion.training import trainer\n"
        "from lesion.training.recipe import Recipe\n"
        "trainer._STAGE_FROM, trainer._STAGE_EVERY = 10, 5\n"
        "die = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"trainer.train(Recipe.model_validate_json(sys.argv[1]), Path(sys.argv[2]), on_progress={on_progress})\n"
    )
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-c", program, recipe.model_dump_json(), str(folder)],
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
    )


def test_a_training_killed_with_sigkill_goes_on_to_the_same_bits(trained, tmp_path, early_stage):
    killed = run(SMALL, tmp_path, "lambda progress: die() if progress.step == 13 else None")
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "model.safetensors").exists()
    steps: list[int] = []
    report = train(SMALL, tmp_path, on_progress=lambda progress: steps.append(progress.step))
    assert steps == list(range(11, 21))
    assert weights(tmp_path) == weights(trained[0])
    assert report.history == trained[1].history


LONGER = SMALL.model_copy(update={"until": Until(cycle=6, cycles=1)})


def test_a_training_that_falls_short_goes_on_for_a_cycle_killed_in_it_or_not(trained, tmp_path, early_stage):
    whole = train(LONGER, tmp_path / "whole")
    assert [one.step for one in whole.history] == [15, 20, 26]
    assert whole.history[:2] == trained[1].history  # up to the end of the schedule nothing has changed
    killed = run(LONGER, tmp_path / "killed", "lambda progress: die() if progress.step == 23 else None")
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    steps: list[int] = []
    report = train(LONGER, tmp_path / "killed", on_progress=lambda progress: steps.append(progress.step))
    assert steps == list(range(21, 27))
    assert report.history == whole.history
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole") != weights(trained[0])


def test_a_training_with_nothing_left_to_lose_stops_and_is_not_repeated(tmp_path, early_stage, monkeypatch):
    measure = Examination.measure

    def perfect(self, network, step, loss):
        true = measure(self, network, step, loss)
        return true.model_copy(update={"accuracy": dict.fromkeys(true.accuracy, 1.0)})

    monkeypatch.setattr(Examination, "measure", perfect)
    steps: list[int] = []
    report = train(LONGER, tmp_path, on_progress=lambda progress: steps.append(progress.steps))
    assert report.last.step == len(steps) == 15
    assert (steps[0], steps[-1]) == (20, 15)
    assert not (tmp_path / FILE).exists()
    assert train(LONGER, tmp_path, on_progress=lambda progress: pytest.fail("a step")) == report


def test_without_resume_it_starts_afresh(trained, tmp_path, early_stage):
    short = SMALL.model_copy(update={"steps": 2})
    train(short, tmp_path)
    steps: list[int] = []
    train(short, tmp_path, resume=False, on_progress=lambda progress: steps.append(progress.step))
    assert steps == [1, 2]


def test_another_recipes_folder_is_refused(trained):
    with pytest.raises(InputError, match="another recipe"):
        train(SMALL.model_copy(update={"seed": 5}), trained[0])


def test_another_recipes_checkpoint_and_a_damaged_one_are_refused(tmp_path):
    network = new_network(SMALL)
    parameters = dict(network.named_parameters())
    optimiser = torch.optim.AdamW(decay_groups(network, 0.1))
    assert load_checkpoint(tmp_path, parameters, optimiser, "a") is None
    for parameter in parameters.values():
        optimiser.state[parameter] = {
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    trainer.save_checkpoint(tmp_path, parameters, optimiser, State(recipe="a", step=3))
    assert load_checkpoint(tmp_path, parameters, optimiser, "a") == State(recipe="a", step=3)
    with pytest.raises(InputError, match="another recipe"):
        load_checkpoint(tmp_path, parameters, optimiser, "b")
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(tmp_path, parameters, optimiser, "a")


def test_the_learning_rate_warms_up_and_falls_to_its_floor():
    optimiser = Optimiser(peak=1.0, warmup=10, floor=0.1)
    rates = [learning_rate(optimiser, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate(optimiser, 100, 100) == pytest.approx(0.1)


def test_a_stage_switches_on_the_first_layer_and_its_own_heads_only():
    factors = head_factors(SMALL, draw_batch(SMALL, 0, True), True)
    assert factors[:, 0].min() == 1
    assert factors[:, 1].tolist() == [[1, 0, 0, 0]] * SMALL.batch


def test_a_stage_may_switch_off_heads_of_the_first_layer_too():
    recipe = SMALL.model_copy(update={"stage": Stage(heads=1, lower=2)})
    factors = head_factors(recipe, draw_batch(recipe, 0, True), True)
    assert factors[0].tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]]
    assert factors.shape[0] == recipe.batch


def test_the_blocks_on_which_a_stage_is_judged_are_the_recipes(tmp_path, early_stage, monkeypatch):
    asked = []

    def score(network, ordinary, bos, probe):
        asked.append(probe.blocks)
        return torch.zeros(2, 4)

    monkeypatch.setattr(trainer, "robust_induction", score)
    train(SMALL.model_copy(update={"steps": 11}), tmp_path / "usual")
    stage = Stage(heads=1, most=10, blocks=(6, 16))
    train(SMALL.model_copy(update={"steps": 11, "stage": stage}), tmp_path / "given")
    assert asked == [(7,), (6, 16)]


def test_a_drop_zeroes_the_stages_heads_in_the_dropped_rows_only():
    batch = draw_batch(SMALL, 3, False)
    factors = head_factors(SMALL, batch, False)
    assert batch.dropped.any()
    assert not batch.dropped.all()
    assert (factors[:, 1, 0] == 1 - torch.as_tensor(batch.dropped).float()).all()
    assert factors[:, 1, 1:].min() == factors[:, 0].min() == 1


def test_without_stage_and_drop_all_heads_are_on():
    assert head_factors(SMALL.model_copy(update={"drop": 0.0}), draw_batch(SMALL, 3, False), False) is None


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_steps_agree_with_plain_ones(trained, tmp_path):
    done = run(SMALL.model_copy(update={"compile": True}), tmp_path, "lambda progress: None")
    assert done.returncode == 0, done.stderr.decode()
    report = TrainingReport.model_validate_json((tmp_path / REPORT).read_bytes())
    assert report.last.loss == pytest.approx(trained[1].last.loss, abs=1e-4)
