"""What runs cost: predicted without torch, metered while they run, enforced, summed over the ledger."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from lesion import cli
from lesion.interventions.site import parse_site
from lesion.report.terminal.run import budget_words, progress_bar
from lesion.runs.check.recompute_stats import recount
from lesion.runs.check.replay import replay
from lesion.runs.execute import costs, rate
from lesion.runs.execute.conduct import Reading, Spent, Tick, conduct
from lesion.runs.execute.finish import Order
from lesion.runs.execute.prepare import prepare_plan
from lesion.runs.execute.rate import rate_of
from lesion.runs.execute.run import start
from lesion.runs.folder.run_folder import Result, RunFolder
from lesion.runs.index.ledger import enter, sums
from lesion.study.format.load import load_study, parse_document
from lesion.study.study import Budget, Study
from tests.study.made import instrument_answer


def order_of(text: str, **parts: object) -> Order:
    given = yaml.safe_dump({**yaml.safe_load(text), **parts}, sort_keys=False)
    return Order(study=parse_document(given, "x.yaml", Study), text=given, status="exploratory")


def test_a_plan_is_printed_without_torch(repository: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from lesion.cli import main\n"
        f"try: main(['plan', 'studies/arithmetic.yaml', '--home', {str(tmp_path)!r}, '--json'])\n"
        "except SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [stage["stage"] for stage in document["stages"]][:2] == ["instrument", "baseline"]
    assert document["budget"]["cpu_hours"]["fits"]
    assert document["rate"]["source"].startswith("estimated")
    assert all(pool["enough"] for pool in document["pools"].values())
    assert list(tmp_path.iterdir()) == [], "a plan leaves nothing behind"


def test_the_forecast_counts_what_the_run_then_did(small_run) -> None:
    study = small_run.manifest.study
    units = list(RunFolder(small_run.folder).units())
    assert small_run.manifest.cost.flop == costs.work_of(study, units) > 0
    plan = prepare_plan(study, "any")
    told = {stage["stage"]: stage for stage in costs.outlook(plan, small_run.home, 1)["stages"]}
    for stage in ("baseline", "discovery"):
        done = [unit.cell for unit in units if unit.cell.stage == stage]
        assert told[stage]["cells"] == len(done)
        assert told[stage]["rows"] == sum((cell.stop - cell.start) * len(cell.arms) for cell in done)
        assert told[stage]["flop"] == pytest.approx(costs.work_of(study, [u for u in units if u.cell.stage == stage]))


def test_the_rate_is_that_of_the_newest_long_run_of_these_models_on_this_processor(
    small_run, tmp_path, monkeypatch
) -> None:
    models = dict.fromkeys(small_run.manifest.study.subjects, 64)
    assert rate_of(tmp_path, models).source.startswith("estimated")
    cost = small_run.manifest.cost.model_copy(update={"flop": 3e12, "cpu_seconds": 100.0})
    enter(tmp_path, small_run.manifest.model_copy(update={"cost": cost}))
    assert rate_of(tmp_path, models) == (3e10, f"measured: {small_run.manifest.run}")
    assert rate_of(tmp_path, {**models, "tiny:other": 64}).source.startswith("estimated"), "a run of other models"
    monkeypatch.setattr(rate, "processor", lambda: "another")
    assert rate_of(tmp_path, models).source.startswith("estimated")


def test_without_a_run_the_rate_is_a_share_of_a_products_which_rises_with_the_width(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(rate, "product_rate", lambda width: 1e9 * width)
    assert rate_of(tmp_path, {"a": 1000, "b": 600}).flop_per_second == pytest.approx(rate.SHARE_WIDE * 600e9)
    assert rate_of(tmp_path, {"a": 1000, "b": 100}).flop_per_second == pytest.approx(rate.SHARE_NARROW * 100e9)


def test_a_plan_in_nats_says_what_a_wider_spread_would_take(repository: Path, tmp_path: Path) -> None:
    study = load_study(repository / "publications" / "real-models" / "studies" / "gemma-repeats.yaml")
    models = study.model_copy(
        update={"models": ("tiny:gpt2",), "sweep": load_study(repository / "studies" / "dry-run.yaml").sweep}
    )
    said = costs.outlook(prepare_plan(models, "any"), tmp_path, 1)["assumptions"]
    assert any("if they vary by 3 nats, each cell asks" in line for line in said)
    plain = prepare_plan(load_study(repository / "studies" / "dry-run.yaml"), "any")
    assert not any("if they vary" in line for line in costs.outlook(plain, tmp_path, 1)["assumptions"])


def test_a_products_rate_is_between_what_any_processor_does_and_none(tmp_path) -> None:
    assert 1e8 < rate.product_rate(128) < 1e13


def test_what_all_runs_took_is_summed_from_the_ledger(small_run, tmp_path, capsys) -> None:
    for number in range(3):
        cost = small_run.manifest.cost.model_copy(update={"cpu_seconds": 3600.0, "gpu_seconds": 1800.0})
        enter(tmp_path, small_run.manifest.model_copy(update={"run": f"run-{number}", "cost": cost}))
    assert sums(tmp_path)["all"] == pytest.approx(
        {"runs": 3, "cpu_hours": 3.0, "gpu_hours": 1.5, "wall_hours": 3 * small_run.manifest.cost.wall_seconds / 3600}
    )
    with pytest.raises(SystemExit) as ended:
        cli.main(["budget", "--home", str(tmp_path), "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["spent"]["all"]["cpu_hours"] == 3.0
    with pytest.raises(SystemExit):
        cli.main(["budget", "--home", str(tmp_path)])
    assert "all" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spent", "said"),
    [
        (Spent(1800.0, 0.0, 60.0), "0.50 CPU h spent, 0.50 left"),
        (Spent(0.0, 0.0, 3000.0), "50.00 min spent, 10.00 left"),
        (Spent(0.0, 7200.0, 0.0), "2.00 GPU h spent, 0.00 left"),
    ],
)
def test_progress_says_what_is_spent_and_left_of_the_tightest_limit(spent: Spent, said: str) -> None:
    tick = Tick("confirm", 1, 2, spent, Budget(gpu_hours=2.0))
    assert budget_words(tick) == said
    screen = Console(record=True, width=160, force_terminal=True)
    with progress_bar(screen, quiet=False) as tell:
        tell(tick)
    assert said in screen.export_text()


@pytest.mark.parametrize("limit", [{"cpu_hours": 0.001}, {"gpu_hours": 0.001}])
def test_the_budget_ends_a_run_at_the_unit_that_exceeds_it(limit: dict[str, float], small_text, tmp_path) -> None:
    order = order_of(small_text, budget=limit)
    plan = prepare_plan(order.study, "any")

    def work(*_) -> Result:
        return Result(None, None, instrument_answer(), (), 10.0, {}, 10.0)

    done = conduct(plan, RunFolder(tmp_path), work, lambda f, cells: ((c, f(c)) for c in cells), lambda _: None)
    assert done.budget_spent
    assert done.plan.ending is not None
    assert next(iter(limit)) in done.plan.ending.reason
    assert (done.spent.cpu_seconds, done.spent.gpu_seconds) == (10.0, 10.0)


def test_a_resumed_run_is_charged_for_what_it_did_before(small_text, quiet, no_report, tmp_path) -> None:
    class Cut(BaseException):
        """The power goes."""

    seen: list[float] = []

    def until_baseline(tick: Tick) -> None:
        seen.append(tick.spent.cpu_seconds)
        if tick.stage == "baseline" and tick.done == 3:
            raise Cut

    with pytest.raises(Cut):
        start(order_of(small_text), tmp_path, 1, until_baseline, no_report)
    ticks: list[Tick] = []
    start(order_of(small_text), tmp_path, 1, ticks.append, no_report)
    resumed = next(tick for tick in ticks if tick.stage == "baseline")
    assert resumed.spent.cpu_seconds == pytest.approx(seen[-1])


def test_a_spent_budget_ends_the_command_with_6(small_text, tmp_path, capsys) -> None:
    path = tmp_path / "poor.yaml"
    path.write_text(order_of(small_text, budget={"cpu_hours": 1e-9}).text)
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", str(path), "--home", str(tmp_path), "--workers", "1", "--json"])
    assert ended.value.code == 6
    document = json.loads(capsys.readouterr().out)
    assert "the budget is spent: cpu_hours" in document["reason"]
    assert sums(tmp_path)["all"]["runs"] == 1, "it counts in the ledger"


def test_an_overrun_is_seen_before_interventions_recorded_and_replayed(
    small_text, quiet, no_report, tmp_path, monkeypatch
) -> None:
    tasks = {
        "tier1": {"task": "arithmetic", "low": 10, "high": 99, "shots": 0},
        "tier3": {"task": "symbolic", "shortest": 6, "longest": 6},
    }
    order = order_of(small_text, tasks=tasks)
    monkeypatch.setattr(costs, "expected", lambda plan, basis: 1e30 if len(plan.pairs()) > 1 else 0.0)
    ran = start(order, tmp_path, 1, quiet, no_report)
    plan = ran.manifest.plan
    assert plan.deferred == ("tiny:llama|tier3",)
    assert {chosen.tier for chosen in plan.family} == {"tier1"}
    assert "put off" in next(note.text for note in plan.notes if note.topic == "overrun")
    monkeypatch.undo()
    again = replay(ran.folder, tmp_path / "again", 1, quiet, no_report).manifest
    assert again.match == "bit-equal"
    assert again.plan_hashes == ran.manifest.plan_hashes
    assert recount(ran.folder).document["agrees"]


def test_wall_minutes_and_accelerator_hours_are_forecast_from_the_baselines_own_seconds(small_text) -> None:
    tasks = {"tier1": {"task": "arithmetic", "high": 99, "shots": 1}, "tier3": {"task": "symbolic"}}
    rich = {"cpu_hours": 10_000, "gpu_hours": 25, "wall_minutes": 100_000}

    def deferred(budget: dict[str, float], cpu: float, gpu: float, workers: int = 1) -> tuple[str, ...]:
        study = order_of(small_text, tasks=tasks, budget={**rich, **budget}).study
        plan = prepare_plan(study, study.hash()).model_copy(
            update={"stage": "discovery", "targets": {"tiny:llama": ("L0H1",)}, "controls": {"tiny:llama": ()}}
        )
        reading = Reading(Spent(cpu, gpu, 0.0), {"baseline": (cpu, gpu)})
        return costs.affordable(plan, reading, costs.basis_of(study), workers).deferred

    assert deferred({}, 10.0, 10.0) == ()
    assert deferred({"gpu_hours": 1e-3}, 10.0, 0.0) == (), "no accelerator was used, so none is forecast"
    assert deferred({"gpu_hours": 1e-3}, 10.0, 3.0) == ("tiny:llama|tier3",)
    assert deferred({"wall_minutes": 1e-3}, 10.0, 0.0) == ("tiny:llama|tier3",)
    long = 60.0
    assert deferred({"wall_minutes": long}, 1000.0, 0.0) == ("tiny:llama|tier3",)
    assert deferred({"wall_minutes": long}, 1000.0, 0.0, workers=64) == (), "workers share the wall time"
    assert deferred({"wall_minutes": long}, 1.0, 1000.0) == ("tiny:llama|tier3",), "a slow accelerator counts as well"


def test_the_whole_line_goes_through_with_neurons_that_the_study_ranks(small_text, quiet, no_report, tmp_path) -> None:
    target = {"kind": "neurons", "tier": "tier1", "most": 3}
    order = order_of(small_text, sweep={**yaml.safe_load(small_text)["sweep"], "target": target})
    ran = start(order, tmp_path, 1, quiet, no_report)
    plan = ran.manifest.plan
    assert [gate.stage for gate in ran.manifest.gates][:4] == ["instrument", "baseline", "detect", "discovery"]
    assert ran.manifest.outcome == "complete"
    sites = [parse_site(site) for site in plan.targets["tiny:llama"]]
    assert {site.kind for site in sites} == {"neuron"}
    assert len(sites) == 3
    tenths = plan.tenths["tiny:llama"]
    key = sorted((site.layer, tenths[site.layer][site.index or 0]) for site in sites)
    assert plan.controls["tiny:llama"]
    for control in plan.controls["tiny:llama"]:
        others = [parse_site(site) for site in control]
        assert not set(map(str, sites)) & set(control)
        assert sorted((site.layer, tenths[site.layer][site.index or 0]) for site in others) == key
    assert ran.manifest.results.cells
    assert recount(ran.folder).document["agrees"]


def test_a_neuron_target_needs_a_tier_of_the_study(small_text) -> None:
    from lesion.errors import InputError

    target = {"kind": "neurons", "tier": "tier9"}
    with pytest.raises(InputError, match="tier1"):
        order_of(small_text, sweep={"target": target})


def test_the_shipped_studies_fit_their_budgets(repository: Path, tmp_path) -> None:
    for path in sorted((repository / "studies").glob("*.yaml")):
        if "@" in path.read_text(encoding="utf-8"):  # of hub models, whose sizes are not here: tests/test_studies.py
            continue
        document = costs.outlook(prepare_plan(load_study(path), "any"), tmp_path, 2)
        assert all(line["fits"] for line in document["budget"].values()), path.name
