"""Reads texts for `lesion view`: one at a time, in a process of its own that ends when it takes too long or is idle."""

# ruff: noqa: PLC0415  (the server starts without torch)

import multiprocessing
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from lesion.errors import InputError, LesionError
from lesion.models.obtain.pretrained import PRETRAINED, is_there
from lesion.models.sizes import ZOO, locate
from lesion.models.vocabulary import open_vocabulary
from lesion.report.view.look import MOST_TOKENS, Asked, Busy, Filled
from lesion.tasks.catalogue import make_task
from lesion.tasks.formats import suited
from lesion.tasks.spelling import parse_task
from lesion.tasks.task import Draw
from lesion.tasks.tokenizers.prompt_contract import has_space

LANE = Draw("discovery", "diagnostics-0", 0, 1)
"""The items that diagnostics draw, too (`lesion.measures.prompt_set`)."""
LONGEST = 300.0
"""Seconds that a text may take, the opening of the model among them."""
IDLE = 600.0
"""Seconds after which a process that is not asked gives its memory back."""


class TextReader:
    """Reads texts with the models of this machine."""

    def __init__(self, own: Sequence[str] = (), longest: float = LONGEST, idle: float = IDLE) -> None:
        """Nothing is opened before the first text.

        Args:
            own: models besides the embedded and the pretrained ones that are installed: folders, or `tiny:FAMILY`.
            longest: seconds that a text may take.
            idle: seconds after which the process ends.

        Raises:
            InputError: when one of `own` is no model of this machine.
        """
        self._models = (*installed(), *own)
        for name in own:
            _require_local(name)
        self._longest, self._idle = longest, idle
        self._working = threading.Lock()
        self._process: BaseProcess | None = None
        self._line: Connection | None = None
        self._rest: threading.Timer | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that can be read here."""
        return self._models

    def item(self, model: str, task: str, number: int) -> Filled:
        """An item of a task, as this model is asked it; drawn without torch.

        Raises:
            InputError: for a task that is not known or runs code of the user's own, or a number past its end.
        """
        if task.split()[:1] == ["own"]:
            raise InputError("a page runs no code of your own; write the prompts into a file: file path=prompts.csv")
        made = make_task(suited(parse_task(task), spaces=has_space(open_vocabulary(model).tokenizer)))
        if number >= (many := made.capacity(LANE)):
            raise InputError(f"this task has {many:,} items for looking at; the first is 0, so {number} is none")
        (item,) = made.items(LANE, number, number + 1)
        return Filled(item.prompt, item.answer, item.wrong, f"Item {number} of {task}, from its discovery split.")

    def read(self, asked: Asked) -> Mapping[str, Any]:
        """The document of a text; see `lesion.measures.text_document`.

        Raises:
            Busy: while another text is read.
            InputError: for a text that the model cannot read, or one that takes too long.
        """
        if not self._working.acquire(blocking=False):
            raise Busy("another text is being read; try again when it is done")
        try:
            if self._rest is not None:
                self._rest.cancel()
            return self._answer(asked)
        finally:
            self._rest = threading.Timer(self._idle, self._retire)
            self._rest.daemon = True
            self._rest.start()
            self._working.release()

    def _answer(self, asked: Asked) -> Mapping[str, Any]:
        line = self._started()
        try:
            line.send(asked.model_dump())
            if not line.poll(self._longest):
                self.close()
                raise InputError(f"{asked.model} took more than {self._longest:g} s, so the reading was ended")
            error, document = line.recv()
        except (EOFError, OSError) as broken:
            self.close()
            raise InputError(f"the process that reads {asked.model} ended; is there memory enough for it?") from broken
        if error:
            raise InputError(error)
        return document

    def _started(self) -> Connection:
        """The line to the process, which is started where there is none."""
        if self._line is None or self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            self._line, far = context.Pipe()
            self._process = context.Process(target=_serve, args=(far,), daemon=True)
            self._process.start()
            far.close()
        return self._line

    def _retire(self) -> None:
        """End an idle process."""
        if self._working.acquire(blocking=False):
            self.close()
            self._working.release()

    def close(self) -> None:
        """End the process, and give its memory back."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._line is not None:
            self._line.close()
        self._process = self._line = None


def installed() -> tuple[str, ...]:
    """The embedded models, then the pretrained ones that are on this machine."""
    zoo = sorted(path.parent.name for path in ZOO.glob("*/config.json"))
    return (*(f"zoo:{name}" for name in zoo), *(f"pretrained:{name}" for name in PRETRAINED if is_there(name)))


def _require_local(name: str) -> None:
    if locate(name).kind == "hub":
        raise InputError(f"--model {name}: a page fetches nothing; download the model and name its folder")


def _serve(line: Connection) -> None:
    """Answer one text after another; the last model stays open."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError):
        opened: dict[str, Any] = {}
        while True:
            asked = Asked.model_validate(line.recv())
            try:
                line.send(("", _document(opened, asked)))
            except LesionError as error:
                line.send((str(error), {}))
            except Exception as error:  # noqa: BLE001  (the page says it; the next text is read all the same)
                line.send((f"{asked.model} could not read this text: {error}"[:300], {}))


def _document(opened: dict[str, Any], asked: Asked) -> dict[str, Any]:
    from lesion.measures.text_document import text_document
    from lesion.models.model import open_model

    if asked.model not in opened:
        opened.clear()
        opened[asked.model] = open_model(asked.model)
    return text_document(opened[asked.model], asked.text, asked.right, asked.wrong, MOST_TOKENS)
