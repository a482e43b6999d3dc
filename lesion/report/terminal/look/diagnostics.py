"""Tables of the diagnostics for the terminal: tokenizers, heads, attributions, screens, doctor; 80 columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from lesion.report.wording.evidence.stability import words
from lesion.stats.stability import Stability

LISTED = 20
"""Named heads of a kind that are shown; all of them are in the JSON."""


def table(*columns: str) -> Table:
    """A plain table; a column whose name begins with `>` is aligned to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    return made


def said(console: Console, text: str, style: str = "") -> None:
    """A line of words."""
    console.print(text, style=style, markup=False, soft_wrap=not console.is_terminal)


def print_tokens(console: Console, report: Mapping[str, Any]) -> None:
    """Splits by context, alignment by digits, contracts by task, and the stress test where there is one."""
    said(console, f"{report['name']}: 0 … {report['upto']:,}, {report['vocabulary']:,} tokens", "bold")
    contexts = table("context", "written", ">one token", ">all up to", "lengths that do not line up", ">merged")
    for name, context in report["contexts"].items():
        if context is None:
            contexts.add_row(name, "cannot be written in this vocabulary")
            continue
        first = context["first_not_single"]
        ends = "all" if first is None else ("-" if first == 0 else f"{first - 1:,}")
        mixed = ", ".join(map(str, context["mixed_digits"])) or "none"
        contexts.add_row(name, context["example"], f"{context['single']:,}", ends, mixed, f"{context['merged']:,}")
    console.print(contexts)
    grouped = "; ".join(f"{digits}: {how}" for digits, how in report["alignments"].items())
    said(console, f"Grouping of digits, by length: {grouped}")
    if report["tasks"]:
        _print_contracts(console, report["tasks"])
    if report.get("formats"):
        _print_formats(console, report["formats"], report["recommended"])
    for line in report.get("conventions", {}).get("words", []):
        said(console, line)
    if report.get("stress"):
        print_stress(console, report["stress"])


def _print_contracts(console: Console, tasks: Mapping[str, Any]) -> None:
    shown = table("task", ">items", ">kept", ">operands 1 token", ">answers 1 token", "broken by")
    for name, task in tasks.items():
        shares = (
            "-" if share is None else f"{share:.0%}" for share in (task["single_operands"], task["single_answers"])
        )
        broken = ", ".join(f"{reason} {count}" for reason, count in task["refused"].items()) or "none"
        shown.add_row(name, f"{task['items']:,}", f"{task['compiled']:,}", *shares, broken)
    console.print(shown)


def _print_formats(console: Console, formats: Mapping[str, Any], recommended: str) -> None:
    shown = table("format", ">kept", ">negative", ">own roles", ">operand tokens", ">answer tokens", ">answer 1 token")
    for name, facts in formats.items():
        shares = (f"{facts[key]:.0%}" for key in ("kept", "negatives", "separate"))
        lengths = ("-" if facts[key] is None else f"{facts[key]:.1f}" for key in ("operand_tokens", "answer_tokens"))
        single = "-" if facts["one_answer_token"] is None else f"{facts['one_answer_token']:.0%}"
        shown.add_row(name, *shares, *lengths, single)
    console.print(shown, markup=False)
    said(console, f"Take format={recommended}.", "bold")


def print_stress(console: Console, stress: Mapping[str, Any]) -> None:
    """Accuracy by operation, digits and tokens, and what of the two it falls with."""
    shown = table("operation", ">digits", ">tokens", ">items", ">accuracy", "95 % interval")
    for cell in stress["cells"]:
        share, ends = cell["correct"] / cell["items"], f"{cell['low']:.2f} … {cell['high']:.2f}"
        counts = (str(cell["digits"]), str(cell["tokens"]), f"{cell['items']:,}")
        shown.add_row(cell["operator"], *counts, f"{share:.2f}", ends)
    console.print(shown)
    for name in ("by_tokens", "by_digits"):
        other, side = name.removeprefix("by_"), stress[name]
        change = "no strata with both" if side["delta"] is None else _interval(side["delta"], side["low"], side["high"])
        said(console, f"More {other} at fixed {side['fixed']}: {change} ({side['strata']} strata)")
    said(console, f"So: {stress['verdict']}.", "bold")


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def rows(console: Console, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Any small table."""
    shown = table(*columns)
    for line in lines:
        shown.add_row(*line)
    console.print(shown)


def said_rounding(console: Console, result: Mapping[str, Any]) -> None:
    """The engine's error against float64; nothing where it was not measured."""
    if result.get("floor") is not None:
        said(console, f"Rounding: {result['floor']:.0e} nats against float64; a smaller effect may be none.")


def print_heads(console: Console, document: Mapping[str, Any]) -> None:
    """What each detector found: all named heads and the two best others, and the in-context-learning score."""
    for detector in document["detectors"]:
        said(console, detector["verdict"], "bold")
        shown = table("head", ">score", "95 % interval", ">control", ">p", ">again", "named", "other lengths and gaps")
        named = [head for head in detector["heads"] if head["named"]]
        for head in [*named[:LISTED], *[head for head in detector["heads"] if not head["named"]][:2]]:
            ends = f"{head['low']:.3f}–{head['high']:.3f}"
            numbers = (f"{head['control']:.3f}", f"{head['p']:.3f}", f"{head['again']:.3f}")
            name, answer = f"L{head['layer']}H{head['head']}", "yes" if head["named"] else "no"
            least = "" if head["robust"] is None else f" ({head['robust']:.3f})"
            holds = f"{head['holds']}{least}" if head["named"] else ""
            shown.add_row(name, f"{head['score']:.3f}", ends, *numbers, answer, holds)
        console.print(shown)
        rank = detector["rank_agreement"]
        ranks = "undefined, because all scores are equal" if rank is None else f"{rank:.3f}"
        stable = f"\nThe heads above the threshold: {_stability(detector)}" if detector.get("stability") else ""
        said(
            console, f"Rank correlation with the second set, which shares no {detector['disjoint']}: {ranks}{stable}\n"
        )
    probe = document["detectors"][0]["probe"]
    shape = f"{probe['copies']} copies × {probe['block']} random tokens, {probe['sequences']} sequences"
    said(
        console,
        f"Probe: {shape}, seed {probe['seed']}. Control: no repetition, or one key beside. Again: a second set.",
    )
    learned = document["in_context"]
    ends = f"[{learned['low']:.3f}, {learned['high']:.3f}]"
    said(console, f"In-context learning: {learned['score']:+.3f} nats {ends}, second copy minus first")
    if "function_vectors" in document:
        _print_function_vectors(console, document["function_vectors"])
    if "circuits" in document:
        _print_circuits(console, document["circuits"])


def _stability(part: Mapping[str, Any]) -> str:
    """The stability of what a part of a document chose, in words."""
    told = part.get("stability")
    return words(None if told is None else Stability(**told))


def _print_function_vectors(console: Console, found: Mapping[str, Any]) -> None:
    """The heads with the largest indirect effects, how the model does on the word maps, and the overlap."""
    listed = ", ".join(found["named"]) or "none"
    said(console, f"\nFunction-vector heads: {listed}", "bold")
    shown = table("head", ">effect", "95 % interval", ">control")
    for head in found["heads"][:10]:
        ends = f"{head['low']:+.3f} … {head['high']:+.3f}"
        shown.add_row(head["site"], f"{head['effect']:+.3f}", ends, f"{head['control']:+.3f}")
    console.print(shown)
    maps = [f"{name} {each['untaught']:.2f} → {each['taught']:.2f}" for name, each in found["maps"].items()]
    said(console, f"Effect: rise of P(answer) on {found['prompts']} untaught prompts of {found['shots']} examples.")
    said(console, f"Named: interval above every head's control ({found['control']:.3f}).")
    said(console, f"The ten largest: {_stability(found)}")
    said(console, f"P(answer), untaught → taught: {', '.join(maps)}")
    for detector, sites in found["shared"].items():
        said(console, f"{detector.replace('_', '-')} heads among the ten: {', '.join(sites) or 'none'}")


def _print_circuits(console: Console, circuits: Mapping[str, Any]) -> None:
    shown = table("head", ">copy score", ">eigenvalue positivity", ">in its own top 5")
    ordered = sorted(circuits["copying"], key=lambda head: -(head["score"] if head["score"] is not None else -2))
    for head in ordered[:8]:
        numbers = ("nothing" if head[k] is None else f"{head[k]:.3f}" for k in ("score", "positivity", "top5"))
        shown.add_row(f"L{head['layer']}H{head['head']}", *numbers)
    console.print(shown)
    for kind, pairs in circuits["composition"].items():
        best = ", ".join(f"{pair['left']}→{pair['right']} {pair['score']:+.3f}" for pair in pairs[:3])
        said(console, f"{kind.upper()}-composition above chance: {best or 'none'}")
    if circuits["note"]:
        said(console, f"Circuits are read {circuits['note']}.")


def print_attribution(console: Console, attribution: Mapping[str, Any]) -> None:
    """Completeness first, then heads with direct and total effects, neurons and layers."""
    held = "adds up" if attribution["complete"] else "DOES NOT ADD UP"
    said(
        console,
        f"{attribution['target']} {attribution['mean']:+.3f} over {attribution['items']} items; the sum {held}",
        "bold",
    )
    said(console, f"(error {attribution['error']:.1e}, accepted {attribution['tolerance']:.0e}{_capped(attribution)})")
    heads = sorted(attribution["heads"], key=lambda p: -max(abs(p["direct"]), abs(p["total"] or 0)))[:10]
    shown = table("head", ">direct", "95 % interval", ">total", "95 % interval")
    for part in heads:
        total = ("-", "-") if part["total"] is None else _ends(part["total"], part["total_low"], part["total_high"])
        shown.add_row(part["site"], *_ends(part["direct"], part["low"], part["high"]), *total)
    console.print(shown)
    said_rounding(console, attribution)
    others = table("part", ">direct", "95 % interval")
    for part in [*attribution["neurons"], *attribution["others"]]:
        others.add_row(part["site"], *_ends(part["direct"], part["low"], part["high"]))
    console.print(others)
    layers = table("layer", ">attention", ">MLP")
    for number, (attention, mlp) in enumerate(attribution["layers"]):
        layers.add_row(str(number), f"{attention:+.3f}", f"{mlp:+.3f}")
    console.print(layers)


def _capped(attribution: Mapping[str, Any]) -> str:
    return "; of the logit before its soft cap" if attribution["capped"] else ""


def _ends(value: float, low: float, high: float) -> tuple[str, str]:
    return f"{value:+.3f}", f"{low:+.3f} … {high:+.3f}"


def print_effect(console: Console, effect: Mapping[str, Any]) -> None:
    """Every measure in both arms with its paired difference, errors by place and stratum, and the receipt."""
    lost = ", ".join(f"{reason} {count}" for reason, count in effect["refused"].items())
    items = f"{effect['items']} items" + (f", not asked: {lost}" if lost else "")
    said(console, f"{effect['intervention']} on {effect['model']}, {items}", "bold")
    floors = [change.get("floor") for change in effect["changes"]]
    rounding = [">rounding"] if any(floor is not None for floor in floors) else []
    shown = table("measure", ">baseline", ">edited", ">difference", "95 % interval", *rounding, ">unscored")
    for change in effect["changes"]:
        numbers = ("-" if change[k] is None else f"{change[k]:.4f}" for k in ("baseline", "edited"))
        delta = "-" if change["delta"] is None else f"{change['delta']:+.4f}"
        ends = "-" if change["low"] is None else f"{change['low']:+.4f} … {change['high']:+.4f}"
        least = ["-" if change.get("floor") is None else f"{change['floor']:.0e}"] * len(rounding)
        shown.add_row(f"{change['measure']}, {change['unit']}", *numbers, delta, ends, *least, str(change["unscored"]))
    console.print(shown)
    for place in effect["digits"]:
        name = f"Digit {place['place']} from the right wrong"
        said(console, f"{name}: {place['baseline']:.3f} → {place['edited']:.3f} of {place['items']}")
    if (by_one := effect["carries"]) is not None:
        before, after = (f"{by_one[arm]} of {by_one[f'{arm}_wrong']}" for arm in ("baseline", "edited"))
        said(console, f"Wrong by one carry or borrow: {before} wrong numbers → {after}")
    for part in effect["strata"]:
        said(console, f"Right with {part['bucket']}: {part['baseline']:.3f} → {part['edited']:.3f} of {part['items']}")
    receipt = effect["receipt"]
    acted = f"{receipt['firings']} firings in {receipt['forwards']} passes, {receipt['elements']:,} elements written"
    change = f"largest logit change {receipt['max_logit_change']:.3g}"
    said(console, f"Collateral damage: {effect['neutral_text']}")
    if rounding:
        said(console, "Rounding: largest error of a log-probability against float64, nats. Less may be no effect.")
    said(console, f"Receipt: {acted}, L2 change {receipt['l2_change']:.4g}, {change}")
    said(console, _floor(effect))


def print_screen(console: Console, screen: Mapping[str, Any]) -> None:
    """Estimates beside exact effects, and how well they agree."""
    done = "Patch from corrupted prompts" if screen.get("towards") == "corrupted" else f"Scale {screen['alpha']:g}"
    said(console, f"{done}, {screen['target']}, {screen['items']} items, {screen['method']}", "bold")
    said_rounding(console, screen)
    if screen["completeness"] is not None:
        said(console, f"Completeness error of the layers' sums: {screen['completeness']:.1e}")
    for kind in ("heads", "neurons"):
        part = screen[kind]
        shown = table(kind, ">estimate", ">exact", "chosen by")
        for site in part["candidates"][: part["top"]]:
            who = "screen" if site["chosen"] else "chance"
            shown.add_row(site["site"], f"{site['estimate']:+.4f}", f"{site['exact']:+.4f}", who)
        console.print(shown)
        rank, sign = ("-" if part[k] is None else f"{part[k]:.2f}" for k in ("rank_agreement", "sign_agreement"))
        said(console, f"{part['screened']:,} {kind} screened. {_recalled(part['recall'], part['top'], kind)}")
        said(console, f"The {part['top']} chosen {kind}: {_stability(part)}")
        said(console, f"On the measured {kind}: rank correlation {rank}; right signs among the chosen {sign}\n")


def _recalled(recall: Mapping[str, Any], top: int, kind: str) -> str:
    """How many of the sites that matter most the screen chose, in a sentence."""
    of = f"the {top} {kind} with the largest exact effects"
    if recall["measured"] == recall["sites"]:
        return f"The screen chose {round(recall['value'] * top)} of {of} (all {recall['sites']:,} measured)."
    ends = f"95 % interval {recall['low']:.0%} to {recall['high']:.0%}"
    measured = f"{recall['measured']:,} of {recall['sites']:,} measured"
    return f"Estimated recall of {of}: {recall['value']:.0%} ({ends}; {measured}, the others' number is estimated)."


def print_doctor(console: Console, report: Mapping[str, Any], verbose: bool = False) -> None:
    """The verdict, what fails, the noise floor and the engine; with `verbose` every identity and check."""
    identities, checks = report["identities"], report["checks"]
    failed = [check for check in (*identities, *checks) if not check["holds"]]
    if report["healthy"]:
        said(console, f"{report['model']}: sound. All {len(identities)} identities hold on these weights.", "bold")
    else:
        said(console, f"{report['model']}: {len(failed)} of its identities and checks FAIL.", "bold")
        said(console, "Do not use numbers that rest on what fails; edits of the site kinds named here are refused:")
    for check in failed[:FAILURES]:
        said(console, f"  {_failure(check)}")
    if len(failed) > FAILURES:
        said(console, f"  and {len(failed) - FAILURES} more")
    measured = [check for check in identities if check["error"] is not None and check["tolerance"] > 0]
    if measured:
        worst = max(measured, key=lambda check: check["error"] / check["tolerance"])
        said(console, f"Nearest to its limit: {worst['name']}, {worst['error']:.1e} (allowed {worst['tolerance']:.0e})")
    said(console, _floor(report))
    said(console, _engine(report["engine"]))
    said(
        console,
        f"Weights {report['weights_hash'][:16]}, {report['dtype']}; {sum(c['holds'] for c in checks)} of "
        f"{len(checks)} further checks hold",
    )
    if not verbose:
        said(console, "Every identity with its error: the same command with -v")
        return
    _print_identities(console, identities)
    if checks:
        _print_checks(console, checks)


FAILURES = 5
"""Failures that are listed without --verbose."""


def _failure(check: Mapping[str, Any]) -> str:
    """An identity or a check that does not hold, in a line."""
    if "value" in check:
        return f"{check['name']}: {check['value']:.3g}, must be {check['expects']} {check['limit']:.3g}"
    error = check["note"] if check["error"] is None else f"error {check['error']:.1e}, allowed {check['tolerance']:.0e}"
    return f"{check['name']}: {error}"


def _engine(engine: Mapping[str, Any]) -> str:
    """Which engine runs, and why, in plain words."""
    if engine["engine"] == "fast":
        off = "" if engine["error"] is None else f": it gives the reference's numbers to {engine['error']:.1e} nats"
        return f"Engine: batched{off}"
    why = f" because {engine['note']}" if engine["note"] else ""
    return f"Engine: reference, one forward pass for each intervention{why}. Numbers are right; sweeps take longer."


def _print_identities(console: Console, identities: Sequence[Mapping[str, Any]]) -> None:
    shown = table("identity", ">error", ">accepted", "holds")
    for identity in identities:
        error = identity["note"][:40] if identity["error"] is None else f"{identity['error']:.1e}"
        shown.add_row(identity["name"], error, f"{identity['tolerance']:.0e}", "yes" if identity["holds"] else "NO")
    console.print(shown)


def _print_checks(console: Console, checks: Sequence[Mapping[str, Any]]) -> None:
    shown = table("check", ">value", "must be", "holds")
    for check in checks:
        limit = f"{check['expects']} {check['limit']:.3g}"
        shown.add_row(check["name"], f"{check['value']:.3g}", limit, "yes" if check["holds"] else "NO")
    console.print(shown)


def _floor(report: Mapping[str, Any]) -> str:
    """The noise floor, and what a model opened in bfloat16 can show."""
    floor = f"Noise floor in {report['dtype']}: {report['noise_floor']:.1e} nats"
    if report["dtype"] != "bfloat16":
        return f"{floor} between rows run together and alone"
    return f"{floor} from the same weights in float32: a smaller change of a log-probability is rounding"
