"""The laboratory in a notebook: one line measures an intervention.

>>> from lesion.lab import Lab, scale
>>> lab = Lab("tiny:llama")
>>> result = lab.run(task="arithmetic high=9 shots=0", do=scale("L1H0", 0.0), items=20)
>>> result.receipt.firings > 0, result.interval("answer_logprob").low < result.interval("answer_logprob").high
(True, True)

Importing this module imports torch; `import lesion` does not.
"""

from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import polars as pl
from torch import nn

from lesion.engine.batch import batches
from lesion.engine.decode.generate import generate
from lesion.engine.decode.padded_prompts import as_prompt
from lesion.engine.hooks import held
from lesion.engine.proof.cache import engine_for, proved
from lesion.engine.proof.prove import Proof
from lesion.engine.receipts import Recorder
from lesion.engine.replacement_activations import Library, reference_hash
from lesion.engine.select_engine import Engine
from lesion.errors import InputError, InterventionError
from lesion.identity import canonical_json
from lesion.interventions.intervention import Intervention, Receipt, Scale, Steer
from lesion.interventions.parse import Replacement, parse_intervention, replacement, scale
from lesion.lab_results import Result, Scores, TextLook, Texts
from lesion.measures.attribution.attribution_patching import Screen, screen
from lesion.measures.attribution.direct_logit import Attribution, attribution
from lesion.measures.attribution.patching import with_twins
from lesion.measures.circuits.faithfulness import Faithfulness, faithful
from lesion.measures.edges.attribution import attributed
from lesion.measures.edges.effects import Effects
from lesion.measures.edges.exact import exact_effects
from lesion.measures.effects.ablation import counterfactual, scaling
from lesion.measures.effects.effect import effect
from lesion.measures.effects.site_groups import select
from lesion.measures.heads.detection import Detection, detection, detections
from lesion.measures.heads.pattern_scores import DETECTORS
from lesion.measures.heads.repeated_sequences import StandardProbe
from lesion.measures.prompt_set import ask, known_task
from lesion.measures.text_view import text_view, token_table
from lesion.models.checks.changed_module import Mark, mark, require_unchanged
from lesion.models.model import Model, adopted_model, open_model
from lesion.models.text_conventions import ends_of
from lesion.report.terminal.notebook import Picture
from lesion.report.terminal.progress import shown
from lesion.tasks.config import TaskConfig
from lesion.tasks.tokenizers.prompt_contract import Compiled

REFERENCE = 512
"""Other items whose mean or values `mean` and `resample` put in place."""

__all__ = ["Held", "Lab", "Picture", "Result", "Scores", "Texts", "parse_intervention", "scale"]


class Held:
    """An intervention that stands on the module, and what it did so far."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    @property
    def receipt(self) -> Receipt:
        """Proof that it acted, over all forward passes until now.

        Raises:
            InterventionError: when nothing ran yet, or it did not act as it must.
        """
        return self._recorder.receipt()

    def __repr__(self) -> str:
        return f"Held({self._recorder.intervention}, {self._recorder.forwards} forward passes)"


class Lab:
    """A model, proved on its weights, ready for interventions."""

    @shown
    def __init__(self, model: str | Model | nn.Module, tokenizer: Any = None, device: str | None = None) -> None:
        """Open a model by name, take an opened one or a raw Hugging Face module, and prove it.

        Args:
            model: a name such as `zoo:abacus-llama`, an opened model, or a module of transformers in memory; that one
                is used as it is, and its parameters stop asking for gradients.
            tokenizer: of a raw module, its fast tokenizer (of transformers, or a `tokenizers.Tokenizer`).
            device: `cpu` or `cuda`, from here on the device of this process (torch's default); None: `cpu`, or what
                LESION_DEVICE says. An opened model stays where it is.

        Raises:
            InputError: when the model cannot be opened on that device.
            InterventionError: when its architecture's row does not hold on these weights.
        """
        if isinstance(model, nn.Module):
            model = adopted_model(model, tokenizer, device)
        elif tokenizer is not None:
            raise InputError("a tokenizer is given with a module in memory only; a named model brings its own")
        self.model: Model = open_model(model, device=device) if isinstance(model, str) else model
        self.proof: Proof = proved(self.model)
        self.engine: Engine = engine_for(self.model)
        self._standing: list[str] = []
        self._mark: Mark = mark(self.module)

    @shown
    def run(
        self,
        task: TaskConfig | str,
        do: Intervention | Replacement | str,
        items: int = 200,
        seed: int = 0,
        library: Library | None = None,
        neutral: str | None = None,
    ) -> Result:
        """Measure an intervention on items of a task.

        Args:
            task: a configuration, or a spelling such as `arithmetic high=999`.
            do: an intervention such as `zero("L5H1")`, or its spelling: `scale L5H1 0.5`, `mean L5H1`,
                `median L5H1`, `resample L5H1`.
                Mean, median and resample take values from `REFERENCE` other items of the task.
            items: how many are drawn, from the discovery split.
            seed: draws them.
            neutral: a text that the intervention should leave alone; by default a passage of this project's own.
            library: makes what mean, resample, patch and steer put at sites; see
                `lesion.engine.replacement_activations`.

        Raises:
            InputError: for a task or an intervention that is not known.
            InterventionError: for a site that the model lacks or that failed its proof; inside `intervene`.
        """
        self._alone("run")
        asks = replacement(do) or do if isinstance(do, str) else do
        if isinstance(asks, Replacement):
            known_task(task, items, REFERENCE)
            library = Library(self.model, ask(self.model, task, REFERENCE, seed, items).compiled)
            asks = asks.made(reference_hash(library.reference), seed)
        intervention = self._wanted(asks)
        measured = effect(self.engine, ask(self.model, task, items, seed), intervention, library, text=neutral)
        changes = [change.model_dump() for change in measured.effect.changes]
        return Result(pl.DataFrame(measured.rows), pl.DataFrame(changes, infer_schema_length=None), measured.effect)

    @contextmanager
    def intervene(self, do: Intervention | str, library: Library | None = None) -> Generator[Held]:
        """Hold an intervention on the module while anything runs it: `lab.generate`, `lab.module.generate`, a forward.

        It acts at every token that is read, and is gone afterwards, also when the body fails.

        Args:
            do: a scale or a steer, or a spelling such as `scale L1H0 0`; positions other than `all` have no meaning.
            library: holds the vector of a steer.

        Raises:
            InterventionError: for an intervention that has no meaning here, or a site that the model lacks or that
                failed its proof; after the body, when nothing ran or the intervention did not act as it must.
        """
        require_unchanged(self.module, self._mark)
        intervention = self._wanted(do)
        source = None
        if isinstance(intervention, Steer):
            (any_batch,) = batches([Compiled((0, 0), {}, (0,), (0,), 1, None)], 1)
            source = (library or Library(self.model)).sources(any_batch, [intervention])[intervention]
        with held(self.model, intervention, source) as recorder:
            self._standing.append(str(intervention))
            try:
                yield Held(recorder)
            finally:
                self._standing.pop()

    @shown
    def generate(
        self,
        prompts: str | Sequence[str],
        do: Intervention | str | None = None,
        most: int = 16,
        stop: Collection[int] | None = None,
    ) -> Texts:
        """Greedy text after each prompt, unedited or under an intervention, its own or the one of `intervene`.

        Args:
            prompts: one or several; BOS is put in front where the model has one.
            do: what is changed, at `all`, `prompt`, `generated`, `last` or `index:N`.
            most: tokens at most.
            stop: token ids that end a text; by default those of `lesion.models.text_conventions`.

        Raises:
            InputError: for a prompt that the tokenizer cannot write, or one that is too long.
            InterventionError: for an intervention that has no meaning while text is written, or did not act as it must.
        """
        require_unchanged(self.module, self._mark)
        if do is not None:
            self._alone("generate(…, do=…)")
        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        stops = ends_of(self.model) if stop is None else frozenset(stop)
        intervention = None if do is None else self._wanted(do)
        generated = generate(self.model, [as_prompt(self.model, prompt) for prompt in texts], most, stops, intervention)
        rows = [
            {
                "prompt": prompt,
                "text": self.model.tokenizer.decode(list(text.tokens[: -1 if text.stopped else None])),
                "stopped": text.stopped,
                "margin": text.margin,
            }
            for prompt, text in zip(texts, generated.texts, strict=True)
        ]
        return Texts(pl.DataFrame(rows), generated.receipt)

    @shown
    def look(self, text: str, do: Intervention | str | None = None, versus: tuple[str, str] | None = None) -> TextLook:
        """Attention of every head on one text, and what the model expects at each token; unedited and edited.

        Args:
            text: BOS is put in front where the model has one.
            do: what is changed: a scale such as `scale L1H0 0`. Default: nothing.
            versus: two texts of one token each; the table then has the difference of their logits.

        Raises:
            InputError: for a text that the tokenizer cannot write or that is too long, for another kind of
                intervention, or where a text of `versus` is not one token.
            InterventionError: for a site that the model lacks or that failed its proof; inside `intervene`.
        """
        self._alone("look")
        wanted = None if do is None else self._wanted(do)
        if wanted is not None and not isinstance(wanted, Scale):
            raise InputError(f"lab.look shows scales, such as 'scale L1H0 0', and not '{wanted}'")
        prompt = as_prompt(self.model, text)
        conditions = {"unedited": None} if wanted is None else {"unedited": None, "edited": wanted}
        seen = {name: text_view(self.model, prompt, each) for name, each in conditions.items()}
        table = token_table(self.model, prompt, {name: view.logits for name, view in seen.items()}, versus)
        about = f"{wanted} on {self.model.name}" if wanted is not None else self.model.name
        return TextLook(table, {name: view.patterns.numpy() for name, view in seen.items()}, about)

    def doctor(self) -> pl.DataFrame:
        """What was proved on the loaded weights before anything was measured, as `lesion doctor` says it.

        Returns:
            A row per identity: `name`, `about` (the model, or a kind of site), `error` (largest relative difference),
            `tolerance`, `holds`, `note`.
        """
        rows = [identity.model_dump() for identity in self.proof.identities]
        return pl.DataFrame(rows, infer_schema_length=None)

    @shown
    def scores(self, *detectors: str, seed: int = 0, probe: StandardProbe | None = None) -> Scores:
        """Score all heads with some detectors, by default with all; see `lesion.measures.heads.detection`.

        Args:
            detectors: `induction`, `previous_token`, `duplicate_token`, `first_token`.
            seed: draws the tokens.
            probe: block length, copies and number of sequences; by default 2 copies × 50 tokens, 24 sequences.

        Raises:
            InputError: for an unknown detector, or a vocabulary or context that is too small for the probe.
            InterventionError: inside `intervene`.
        """
        self._alone("scores")
        detected = detections(self.model, detectors or tuple(DETECTORS), seed, probe).detections
        rows = [
            {"detector": detection.detector, "site": str(head), **head.model_dump()}
            for detection in detected
            for head in detection.heads
        ]
        return Scores(pl.DataFrame(rows), detected)

    @shown
    def heads(self, detector: str = "induction", seed: int = 0, probe: StandardProbe | None = None) -> Detection:
        """Name the heads of a kind, or say that there are none; see `lesion.measures.heads.detection`."""
        self._alone("heads")
        return detection(self.model, detector, seed, probe)

    @shown
    def attribute(
        self, task: TaskConfig | str, items: int = 64, target: str = "logit_diff", seed: int = 0
    ) -> Attribution:
        """Split a logit into its parts; see `lesion.measures.attribution.direct_logit`."""
        self._alone("attribute")
        return attribution(self.engine, ask(self.model, task, items, seed), target)

    @shown
    def screen(
        self,
        task: TaskConfig | str,
        items: int = 64,
        method: str = "gradient",
        top: int = 10,
        seed: int = 0,
        towards: Literal["scale", "corrupted"] = "scale",
    ) -> Screen:
        """Estimate all heads and neurons, and confirm the best; see `attribution_patching`.

        Args:
            task: a configuration, or its spelling.
            items: how many are drawn.
            method: `gradient` or `integrated`.
            top: sites of each kind that are measured exactly.
            seed: draws the items and the random other sites.
            towards: `scale`: effects of zeroing; `corrupted`: effects of patching from the corrupted prompts.

        Raises:
            InputError: for an unknown method, or a task without corrupted prompts that is asked towards them.
        """
        self._alone("screen")
        asked = ask(self.model, task, items, seed)
        kept = with_twins(asked)[0] if towards == "corrupted" else asked
        return screen(self.engine, kept, method=method, top=top, seed=seed, towards=towards)

    @shown
    def faithful(
        self,
        task: TaskConfig | str,
        keep: str,
        items: int = 64,
        ablation: Literal["counterfactual", "zero"] = "counterfactual",
        target: str = "logit_diff",
        seed: int = 0,
    ) -> Faithfulness:
        """Keep a set of heads and MLPs, replace all others; see `lesion.measures.circuits.faithfulness`.

        Args:
            task: a configuration, or its spelling.
            keep: the set, such as `L5H1+L6H9+L6.mlp_out` or `heads`.
            items: how many are drawn; with `counterfactual` those without an aligned corrupted prompt are left out.
            ablation: what replaces the other nodes.
            target: `logit_diff` or `answer`.
            seed: draws the items and the bootstrap.

        Raises:
            InputError: for an unknown task, a site that is no node, or too few items with a corrupted prompt.
            InterventionError: for a site that the model lacks; inside `intervene`.
        """
        self._alone("faithful")
        nodes = select(self.model.sizes, keep)
        prompts = ask(self.model, task, items, seed)
        if ablation == "zero":
            return faithful(self.engine, prompts, nodes, scaling(0.0), target, seed=seed)
        paired, _ = with_twins(prompts)
        return faithful(self.engine, paired, nodes, counterfactual(Library(self.model)), target, seed=seed)

    @shown
    def edges(
        self,
        task: TaskConfig | str,
        items: int = 16,
        method: str = "eap-ig",
        target: str = "logit_diff",
        seed: int = 0,
        steps: int = 5,
    ) -> Effects:
        """Measure or estimate every edge between nodes; see `lesion.measures.edges`.

        Args:
            task: a configuration, or its spelling.
            items: how many are drawn; those without an aligned corrupted prompt are left out.
            method: `exact`, `eap`, `eap-ig` or `eap-ig-activations`.
            target: `logit_diff` or `answer`.
            seed: draws the items.
            steps: of the integrated gradients.

        Raises:
            InputError: for an unknown task, method or target, or too few items with a corrupted prompt.
            InterventionError: where the model's nodes do not add up in the stream; inside `intervene`.
        """
        self._alone("edges")
        paired, _ = with_twins(ask(self.model, task, items, seed))
        if method == "exact":
            return exact_effects(self.engine, paired, target)
        return attributed(self.model, paired, method, target, steps)

    @property
    def module(self) -> Any:
        """The Hugging Face module itself."""
        return self.model.module

    def _wanted(self, do: Intervention | str) -> Intervention:
        intervention = parse_intervention(do) if isinstance(do, str) else do
        self.proof.require(intervention)
        return intervention

    def _alone(self, what: str) -> None:
        """Make sure that no intervention stands on the module, and nobody changed it, so that the model is measured."""
        require_unchanged(self.module, self._mark)
        if self._standing:
            raise InterventionError(
                f"lab.{what} measures the model as it is, and {' and '.join(self._standing)} stands on it: "
                "leave the `with lab.intervene(…)` block first"
            )

    def __repr__(self) -> str:
        return f"Lab({canonical_json(self.model.name).decode()}, engine {self.engine.choice.engine})"
