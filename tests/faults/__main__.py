"""`make faults`: put in every fault by itself, ask the shipped defences, and write docs/faults.md."""

import argparse
import os
import re
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from lesion.runs.manifest.recording import recording
from tests.faults import defences
from tests.faults.catalogue import FAULTS
from tests.faults.fault import Caught, Fault, Finished

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
HEAD = """\
# Seeded faults

`make faults` puts each of these faults, one at a time, into the shipped code or into a finished run. It then runs the
shipped defences in the order in which a user meets them and records the first that reports the fault. A traceback does
not count. Without a fault the same defences must stay silent. The command writes this page; the defences' messages are
on its screen and in its record (`result.json`).

- *identity*, *agreement of the engines*: checks when a model is opened ([diagnostics](diagnostics.md)).
- *trial of gates and tests*: the self-test before a run. *gate*: a stage of the study. *Invalid*: a cell without a
  verdict ([gates](gates.md)).
- *verify*, *replay*, *recount* (`lesion stats`), *ledger*: commands on a finished run ([run records](record.md)).

| | Fault | Put into | Caught by |
|---|---|---|---|
"""


def caught(fault: Fault | None, battery: str, model: str, sound: Finished) -> Caught | None:
    """The first defence that speaks; without a fault, none must."""
    with pytest.MonkeyPatch.context() as patch, defences.copied(sound) as run:
        defences.forget()
        if fault is not None:
            fault.put(run if battery in ("record", "call") else patch)  # pyright: ignore
        asked = {
            "model": lambda: defences.ask_model(model, run=fault is not None),
            "run": defences.ask_run,
            "record": lambda: defences.ask_record(run),
            "call": lambda: defences.ask_call(run),
        }
        try:
            return next(asked[battery](), None)
        finally:
            defences.forget()


def tried(fault: Fault | None, battery: str, model: str, sound: Finished) -> Caught | None:
    """The same; a crash is told and counts as nothing caught (and, without a fault, as a false alarm)."""
    try:
        return caught(fault, battery, model, sound)
    except Exception:  # noqa: BLE001  (a fault may break anything; what is no LesionError is no defence)
        print(traceback.format_exc(limit=-4), file=sys.stderr)
        return None if fault is not None else Caught("crash", traceback.format_exc(limit=-1))


def false_alarms(faults: Sequence[Fault], sound: Finished) -> int:
    """How many defences speak although there is no fault."""
    asked = sorted({(fault.battery, fault.model if fault.battery == "model" else "") for fault in faults})
    alarms = 0
    for battery, model in asked:
        found = tried(None, battery, model, sound)
        if found is not None:
            alarms += 1
            print(f"FALSE ALARM without a fault ({battery} {model}): {found.defence}: {found.words}")
    return alarms


def in_words(text: str, sound: Finished) -> str:
    """A defence's message in one line, without places and names that differ from run to run."""
    text = text.replace(sound.folder.name, "RUN").replace(sound.call.name, "RECORD")
    text = re.sub(r"/\S*/", "", " ".join(text.split()))
    text = re.sub(r"[0-9a-f]{12,}", "HASH", text)
    return text if len(text) <= 150 else text[:149] + "…"


def main() -> int:
    """Exit code 0 when every fault is caught and nothing else is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the cheap subset; writes no page")
    parser.add_argument("--only", default="", help="faults whose name contains this (or|that); writes no page")
    parser.add_argument("--no-page", action="store_true", help="leave docs/faults.md as it is")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    wanted = options.only.split("|")
    faults = [f for f in FAULTS if (f.cheap or not options.quick) and any(each in f.name for each in wanted)]
    home = Path(os.environ.get("LESION_HOME", "."))
    with tempfile.TemporaryDirectory() as cache, recording("faults", vars(options), home) as record:
        os.environ["LESION_CACHE"] = cache  # a proof made under a fault is no proof
        record.result = put_in(faults, page=not (options.quick or options.only or options.no_page))
        record.exit_code = int(record.result["caught"] < len(faults) or record.result["false_alarms"] > 0)
    print(f"{record.result['false_alarms']} false alarms without a fault")
    print(f"{record.result['caught']} of {len(faults)} faults caught")
    return record.exit_code


def put_in(faults: Sequence[Fault], *, page: bool) -> dict[str, Any]:
    """Put in every fault and say what caught it; also on the page, when that is wanted."""
    defences.prepare()
    sound = defences.finished()
    lines, told = list[str](), list[dict[str, Any]]()
    alarms = false_alarms(faults, sound)
    for number, fault in enumerate(faults, 1):
        found = tried(fault, fault.battery, fault.model, sound)
        words = ("**nothing**", "") if found is None else (found.defence, in_words(found.words, sound))
        caught_by = {"caught_by": found and found.defence, "message": words[1]}
        told.append({"fault": fault.name, "where": fault.where, **caught_by})
        print(f"{number:3d} {'caught' if found else 'MISSED'}  {fault.name}: {words[0]}: {words[1]}", flush=True)
        lines.append(f"| {number} | {fault.name} | `{fault.where}` | {words[0]} |")
    shutil.rmtree(sound.home)
    if page:
        PAGE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    caught = sum(each["caught_by"] is not None for each in told)
    return {"caught": caught, "false_alarms": alarms, "faults": told}


if __name__ == "__main__":
    sys.exit(main())
