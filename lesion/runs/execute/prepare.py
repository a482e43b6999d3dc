"""What is checked before a run may leave a trace: models, sites, roles and pools. Torch is not needed for it."""

from pathlib import Path

from lesion.errors import InputError, nearest
from lesion.identity import file_hash
from lesion.interventions.site import parse_site
from lesion.models.sizes import Sizes, read_sizes
from lesion.models.vocabulary import open_vocabulary
from lesion.outside.files import require_regular
from lesion.study.arms.edits import Steering
from lesion.study.arms.targets import NAMED, AllBut, DetectedHeads, ScreenedSites
from lesion.study.arms.vectors import ContrastVector, PairsVector
from lesion.study.plan import Plan, Shape, new_plan
from lesion.study.study import Study
from lesion.tasks.answers import Unparsed, extract
from lesion.tasks.catalogue import make_task
from lesion.tasks.config import OwnConfig, PromptFileConfig, TaskConfig
from lesion.tasks.formats import suited
from lesion.tasks.literature.word_prompts import FEWEST, TOO_FEW, map_prompts
from lesion.tasks.problems.custom import code_of
from lesion.tasks.task import Draw, Task
from lesion.tasks.tokenizers.chat_turn import is_chat
from lesion.tasks.tokenizers.prompt_contract import has_space

UNKNOWN_POOL = 10**9
"""Items of a tier whose code is not run before the run itself: its pool is checked then."""


def prepare_plan(study: Study, key: str, *, run_code: bool = False) -> Plan:
    """The plan of a study whose parts all exist and fit together.

    Args:
        study: what is to be done.
        key: orders the confirmation items.
        run_code: whether the code of the user's own tasks may run, if its hash is trusted. Only a run does that; else
            the pools of such tiers count as large enough.

    Raises:
        InputError: for a model, site, role or pool that does not do, naming it.
    """
    sizes = {name: read_sizes(name) for name in study.subjects}
    for name, size in sizes.items():
        _check_sites(study, name, size)
        _check_rest(study, name, size)
        _check_words(study, name)
    if study.chat is not None:
        from lesion.models.chat_template import open_frame  # noqa: PLC0415  (a plan without chat needs no templates)

        for name in study.subjects:
            open_frame(name, study.chat)
    for tier, config in study.tasks.items():
        _check_format(study, tier, config)
        _check_pinned(tier, config)
    _check_vector(study)
    known = {tier: config for tier, config in study.tasks.items() if run_code or not isinstance(config, OwnConfig)}
    tasks = {tier: make_task(config) for tier, config in known.items()}
    for config in study.tasks.values():
        if isinstance(config, OwnConfig):
            code_of(config)
    for tier, task in tasks.items():
        _check_task(study, tier, task)
    shapes = {name: Shape(layers=s.n_layers, heads=s.n_heads, neurons=s.d_mlp) for name, s in sizes.items()}
    held = {tier: _capacity(study, task, key) for tier, task in tasks.items()}
    return new_plan(study, key, shapes, {tier: held.get(tier, UNKNOWN_POOL) for tier in study.tasks})


def _check_sites(study: Study, name: str, size: Sizes) -> None:
    named = (each for each in study.sweep.named.values() if isinstance(each, NAMED))
    for site in (site for each in named for site in each.sites):
        try:
            size.check(parse_site(site))
        except InputError as error:
            raise InputError(f"sweep.target: {name}: {error}") from error


def _check_rest(study: Study, name: str, size: Sizes) -> None:
    """Something is left to edit where the named heads are kept."""
    for target in study.sweep.named.values():
        if isinstance(target, AllBut) and not target.rest(size.n_layers, size.n_heads):
            raise InputError(f"sweep.target: {name}: all heads are kept, so nothing is edited; keep fewer")


def _check_words(study: Study, name: str) -> None:
    """A model of which function vectors are measured reads words."""
    targets = study.sweep.named.values()
    if not any(isinstance(target, DetectedHeads) and target.function_vectors for target in targets):
        return
    vocabulary = open_vocabulary(name)
    if len([*map_prompts(vocabulary.tokenizer, vocabulary.bos, seed=study.seed)]) < FEWEST:
        raise InputError(f"sweep.target: {name}: {TOO_FEW}")


def _check_format(study: Study, tier: str, config: TaskConfig) -> None:
    """A task is written as its models read it: without spaces only where they read none, or where it is asked for."""
    if is_chat(config) and study.chat is None:
        raise InputError(
            f"tasks.{tier}: the format chat needs the model's chat template: add `chat: {{}}` to the study"
        )
    for name in study.subjects:
        vocabulary = None if suited(config, spaces=True) == config else open_vocabulary(name)
        if vocabulary is not None and has_space(vocabulary.tokenizer):
            written = suited(config, spaces=True).model_dump()["format"]
            raise InputError(
                f"tasks.{tier}: {name} reads text with spaces, and no format is given: add `format: {written}`, or "
                "`format: compact` for prompts as the embedded models read them; `lesion tokens` compares the formats"
            )


def _check_pinned(tier: str, config: TaskConfig) -> None:
    """A study names the very prompts that it is about."""
    if isinstance(config, PromptFileConfig) and config.sha256 is None:
        path = Path(config.path)
        require_regular(path)
        raise InputError(
            f"tasks.{tier}: a study names the file of its prompts by its hash: add `sha256: {file_hash(path)}`, and "
            f"{path} is refused once it changes"
        )


def _check_vector(study: Study) -> None:
    """A study names the very file that its vector is read from, or tasks whose files are named and code is ours."""
    edit = study.sweep.edit
    if not isinstance(edit, Steering) or isinstance(edit.vector, PairsVector):
        return
    if isinstance(edit.vector, ContrastVector):
        for name in ("shown", "other"):
            config = getattr(edit.vector, name)
            if isinstance(config, OwnConfig):
                raise InputError(f"sweep.edit.vector.{name}: your own code cannot make a vector; give a file")
            _check_format(study, f"sweep.edit.vector.{name}", config)
            _check_pinned(f"sweep.edit.vector.{name}", config)
        return
    path = Path(edit.vector.path)
    require_regular(path)
    if edit.vector.sha256 is None:
        raise InputError(f"sweep.edit.vector: a study names the file by its hash: add `sha256: {file_hash(path)}`")


def _wider(config: TaskConfig) -> str:
    """What makes a tier's pool larger."""
    if isinstance(config, PromptFileConfig):
        return f"add prompts to {config.path} (discovery: {config.discovery:g} is the share of them for discovery)"
    return "widen the tier (operands: low, high)"


def _paired(study: Study) -> set[str]:
    """Tiers whose corrupted prompts a screen or a vector reads."""
    vector = study.sweep.edit.vector if isinstance(study.sweep.edit, Steering) else None
    screens = (each for each in study.sweep.named.values() if isinstance(each, ScreenedSites))
    read = {each.tier for each in screens if each.by == "corrupted"}
    return read | ({vector.tier} if isinstance(vector, PairsVector) else set())


def _check_task(study: Study, tier: str, task: Task) -> None:
    wider = _wider(study.tasks[tier])
    seen = task.capacity(Draw("discovery", f"discovery-{study.seed}", 0, 1))
    if study.sweep.items > seen:
        raise InputError(
            f"{tier}: sweep.items is {study.sweep.items}, and its discovery pool holds {seen}: set sweep.items to "
            f"{seen} or less, or {wider}"
        )
    held = _capacity(study, task, "any")
    if study.block > held:
        raise InputError(
            f"{tier}: a seed's confirmation pool holds {held} items, fewer than one block ({study.block}): set "
            f"block to {held} or less, or {wider}"
        )
    item = next(iter(task.items(Draw("discovery", f"discovery-{study.seed}", 0, 1), 0, 1)))
    if tier in study.decoded and isinstance(extract(item.answer), Unparsed):
        raise InputError(f"decoded: {tier} is answered by '{item.answer.strip()[:40]}', in which there is no number")
    if study.sweep.edit.kind == "patch" and not item.twin:
        raise InputError(f"sweep.edit: {tier} has no corrupted prompts, so nothing can be patched; take another task")
    if not item.twin and tier in _paired(study):
        raise InputError(f"{tier} has no corrupted prompts, which a vector or screen of this study needs; take another")
    roles = {segment.role for segment in item.segments} - {""}
    role = study.sweep.positions.removeprefix("role:")
    if study.sweep.positions.startswith("role:") and role not in roles:
        raise InputError(f"sweep.positions: {tier} has no role '{role}'; {nearest(role, roles)}")


def _capacity(study: Study, task: Task, key: str) -> int:
    """Items that every confirmation seed holds."""
    seeds = range(study.baseline.seeds)
    return min(task.capacity(Draw("confirm", key, seed, study.baseline.seeds)) for seed in seeds)
