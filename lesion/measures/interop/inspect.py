"""A model provider for Inspect AI, so that its evaluations run under an intervention: `lesion/zoo:abacus-llama`.

    inspect eval my_task.py --model lesion/zoo:abacus-planted -M do="zero L1H0+L1H1"

Text comes from `lesion.engine.decode.generate`: greedy, one sample at a time. Each answer carries the receipt of the
intervention in its metadata. What greedy text of a plain language model cannot do is refused by name: tools, sampling,
several messages. Inspect AI finds this module by its entry point (https://inspect.aisi.org.uk/extensions.html).
"""

# pyright: reportUnknownMemberType=false

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lesion.engine.decode.generate import generate
from lesion.engine.decode.padded_prompts import as_prompt
from lesion.engine.proof.cache import proved
from lesion.errors import InputError
from lesion.interventions.intervention import Intervention
from lesion.interventions.parse import parse_intervention
from lesion.models.model import Model, open_model
from lesion.models.text_conventions import conventions, ends_of

MOST = 256
"""Tokens of an answer, where an evaluation says nothing else."""


def asked(messages: Any, tools: Any, config: Any) -> str:
    """The text that is asked.

    Raises:
        InputError: for what greedy text of a plain language model cannot do.
    """
    if tools:
        raise InputError("lesion/… models call no tools; leave them out")
    if [message.role for message in messages] != ["user"]:
        raise InputError("lesion/… models read one user message and know no other roles; leave the others out")
    if config.temperature:
        raise InputError(f"lesion/… models answer greedily, not at temperature {config.temperature}; leave it out")
    for name in ("top_k", "top_p", "num_choices", "best_of", "logprobs", "prompt_logprobs", "logit_bias"):
        found = getattr(config, name)
        if found and not (name in ("num_choices", "best_of") and found == 1):
            raise InputError(f"lesion/… models answer greedily with one text; leave out {name}")
    return messages[0].text


def answered(model: Model, text: str, wanted: Intervention | None, most: int, stops: list[str]) -> dict[str, Any]:
    """The answer to a text: its words, why they end, and the receipt.

    Args:
        model: the model.
        text: the prompt.
        wanted: what is changed, if anything.
        most: tokens at most; fewer where the model's positions end before.
        stops: texts that end an answer and are not part of it.
    """
    prompt = as_prompt(model, text)
    limit = model.sizes.max_positions
    left = most if limit is None else limit - prompt.prompt_length + 1
    made = generate(model, [prompt], min(most, left), ends_of(model), wanted)
    (found,) = made.texts
    words: str = model.tokenizer.decode(list(found.tokens[:-1] if found.stopped else found.tokens))
    cuts = [words.index(stop) for stop in stops if stop in words]
    why = "stop" if found.stopped or cuts else "max_tokens" if most <= left else "model_length"
    receipt = None if made.receipt is None else made.receipt.model_dump(mode="json")
    return {"words": words[: min(cuts)] if cuts else words, "why": why, "tokens": len(found.tokens), "receipt": receipt}


def register() -> Any:
    """The class that Inspect AI makes its models of, under the name `lesion`."""
    inspect: Any = import_module("inspect_ai.model")

    @inspect.modelapi(name="lesion")
    class Provider(inspect.ModelAPI):
        """A model of `lesion`, under an intervention if one is given as the argument `do`."""

        def __init__(
            self,
            model_name: str,
            base_url: str | None = None,
            api_key: str | None = None,
            config: Any = None,
            do: str | None = None,
        ) -> None:
            super().__init__(model_name, base_url, api_key, [], config or inspect.GenerateConfig())
            self.opened = open_model(model_name)
            self.wanted = None if do is None else parse_intervention(do)
            if self.wanted is not None:
                proved(self.opened).require(self.wanted)
                for site in self.wanted.sites:
                    self.opened.place(site)

        def max_connections(self) -> int:
            return 1

        async def generate(self, input: Any, tools: Any, tool_choice: Any, config: Any) -> Any:  # noqa: ARG002
            most = config.max_tokens or MOST
            text = asked(input, tools, config)
            found = answered(self.opened, text, self.wanted, most, list(config.stop_seqs or ()))
            output = inspect.ModelOutput.from_content(self.model_name, found["words"], found["why"])
            output.metadata = {
                "intervention": None if self.wanted is None else str(self.wanted),
                "receipt": found["receipt"],
                "weights_hash": self.opened.weights_hash,
                "conventions": conventions(self.opened).model_dump(mode="json"),
            }
            return output

    return Provider


if find_spec("inspect_ai") is not None:
    PROVIDER = register()
