import copy
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lesion.errors import InputError
from lesion.study.format.load import load_document, load_study, parse_document
from lesion.study.study import Budget, Study

VALID: dict[str, Any] = {
    "lesion": 2,
    "name": "arithmetic",
    "question": "Does zeroing the induction heads change addition?",
    "hypotheses": ["It does not."],
    "models": ["zoo:abacus-llama"],
    "tasks": {
        "tier1": {"task": "arithmetic", "operators": ["+"], "low": 0, "high": 99, "shots": 2},
        "tier3": {"task": "symbolic", "patterns": ["repeat"], "shortest": 6, "longest": 12},
    },
    "baseline": {"seeds": 3, "items": 1024, "spread": 0.03, "enlargements": 2},
    "sweep": {
        "target": {"kind": "detected", "detector": "induction", "threshold": 0.5, "most": 4},
        "alphas": [0.0, 0.5],
        "always": [0.0],
        "best": 1,
        "controls": 3,
        "positions": "all",
        "items": 512,
    },
    "verdict": {
        "margin": 0.03,
        "alpha": 0.05,
        "looks": 2,
        "effect": 0.05,
        "power": 0.8,
        "spread": 0.03,
        "strata": ["operator"],
    },
    "claims": {
        "primary": "zero",
        "why_zero": "As in the study that is repeated.",
        "prefixes": 12,
        "sets": 199,
        "population": "layer",
        "set_items": 256,
        "outcome": "accuracy",
        "margin_of": "absolute",
    },
    "positive_control": "tier3",
    "seed": 0,
    "block": 512,
    "budget": {"cpu_hours": 1.0, "gpu_hours": 0.0, "wall_minutes": 60.0},
}
MINIMAL = """\
name: smallest
question: Does it?
models: [zoo:abacus-llama]
tasks:
  tier1: {task: arithmetic}
"""
COMPLAINT = re.compile(r"study\.yaml, line (\d+): \S")


def written(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def complaint(text: str | bytes) -> str:
    """The message about a bad study; every line of it must name the file and a line of the file."""
    with pytest.raises(InputError) as caught:
        parse_document(text, "study.yaml", Study)
    message = str(caught.value)
    size = len(text.splitlines()) + 1
    for line in message.splitlines():
        match = COMPLAINT.match(line)
        assert match, line
        assert 1 <= int(match[1]) <= max(size, 1), line
        assert len(line) < 1000
    assert len(message.splitlines()) <= 6
    assert "Traceback" not in message
    return message


def first_line(message: str) -> int:
    match = COMPLAINT.match(message)
    assert match
    return int(match[1])


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path in a nest of dictionaries and lists, the root excluded."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [p for key, entry in entries for p in [(*path, key), *paths(entry, (*path, key))]]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def replaced(path: tuple[Any, ...], new: Any) -> dict[str, Any]:
    study = copy.deepcopy(VALID)
    at(study, path[:-1])[path[-1]] = new
    return study


WRONG: dict[type, list[Any]] = {
    int: [None, True, "text", "12", -5, 10**30, 1.5, [], {}, [1], {"a": 1}],
    float: [None, True, "text", "0.5", -1e9, 10**30, [], {}, [0.5], {"a": 1}],
    str: [None, True, 5, 0.5, [], {}, "", ["a"], {"a": 1}],
    list: [None, True, "text", 5, {}, [[]], [{}], [None], [True]],
    dict: [None, True, "text", 5, [], {"unknown": 1}, {"kind": "x"}, [{}]],
}
SYSTEMATIC = [
    (path, wrong)
    for path in paths(VALID)
    for wrong in WRONG[type(at(VALID, path))]
    if (path[0], wrong) not in [("positive_control", None), ("hypotheses", ""), ("lesion", True)]
]
KEYED = [path for path in paths(VALID) if isinstance(path[-1], str) and (path[0] != "tasks" or len(path) > 2)]


def named(case: Any) -> str:
    return ".".join(map(str, case)) if isinstance(case, tuple) else repr(case)[:20]


@pytest.mark.smoke
def test_a_whole_valid_study_is_read_as_it_is_written(tmp_path: Path):
    path = tmp_path / "study.yaml"
    path.write_text(written(VALID))
    assert load_study(path) == Study.model_validate(VALID)
    assert load_study(str(path)).sweep.alphas == (0.0, 0.5)


@pytest.mark.smoke
def test_the_smallest_study_takes_every_default():
    study = parse_document(MINIMAL, "study.yaml", Study)
    assert study.baseline.seeds == 3
    assert study.sweep.target.kind == "detected"


def test_text_and_bytes_and_a_byte_order_mark_give_the_same_study():
    plain = parse_document(MINIMAL, "study.yaml", Study)
    assert parse_document(MINIMAL.encode(), "study.yaml", Study) == plain
    assert parse_document(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode(), "study.yaml", Study) == plain


def test_other_documents_are_read_by_the_same_rules(tmp_path: Path):
    path = tmp_path / "budget.yaml"
    path.write_text("cpu_hours: 1e1\n")
    assert load_document(path, Budget).cpu_hours == 10.0
    path.write_text("cpu_hour: 1\n")
    with pytest.raises(InputError, match=r"budget\.yaml, line 1: .*did you mean 'cpu_hours'"):
        load_document(path, Budget)


def test_there_are_more_than_two_hundred_malformed_studies_here():
    assert len(SYSTEMATIC) > 300
    assert len(TEXTS) > 60


@pytest.mark.parametrize(("path", "wrong"), SYSTEMATIC, ids=named)
def test_every_wrong_value_is_refused_on_its_own_line(path: tuple[Any, ...], wrong: Any):
    text = written(replaced(path, wrong))
    reported = text.splitlines()[first_line(complaint(text)) - 1]
    key = next(part for part in reversed(path) if isinstance(part, str))
    keys = [key, *(wrong if isinstance(wrong, dict) else ())]
    assert any(f"{key}:" in reported for key in keys) or reported.strip().startswith("- ")


@pytest.mark.parametrize("path", KEYED, ids=named)
def test_a_misspelt_key_is_refused_with_the_right_one(path: tuple[Any, ...]):
    study = copy.deepcopy(VALID)
    mapping = at(study, path[:-1])
    mapping[f"{path[-1]}z"] = mapping.pop(path[-1])
    text = written(study)
    message = complaint(text)
    if path[-1] in {"task", "kind"}:
        assert f"lacks the key '{path[-1]}'" in message
    else:
        assert f"'{path[-1]}z' is not a key that is known here; did you mean '{path[-1]}'?" in message


@pytest.mark.parametrize("key", ["name", "question", "models", "tasks"])
def test_a_missing_key_is_named_with_its_meaning(key: str):
    study = {name: value for name, value in VALID.items() if name != key}
    study.pop("positive_control")
    assert f"the document lacks the key '{key}' (" in complaint(written(study))


TEXTS: list[tuple[str, str | bytes, str]] = [
    ("empty", "", "line 1: the file is empty"),
    ("blank", "\n\n  \n", "line 1: the file is empty"),
    ("comment only", "# nothing\n", "empty"),
    ("null", "---\n", "a study is a mapping of keys to values, found nothing"),
    ("list at top", "- a\n- b\n", "found a list (of 2)"),
    ("text at top", "study\n", 'found the text "study"'),
    ("number at top", "3\n", "found 3"),
    ("two documents", MINIMAL + "---\n" + MINIMAL, "line 6: a second document"),
    ("tab", MINIMAL + "sweep:\n\tbest: 1\n", "line 7: this is not YAML: found a tab; indent with spaces"),
    ("second colon", MINIMAL.replace("Does it?", "what: this"), "line 2: this is not YAML: a second ':'"),
    ("open quote", MINIMAL + "seed: 'x\n", "line 7: this is not YAML"),
    ("open bracket", MINIMAL + "hypotheses: [a, b\n", "this is not YAML"),
    ("wrong indentation", MINIMAL + "sweep:\n    best: 1\n  items: 64\n", "line 8: this is not YAML"),
    ("directive", "%YAML 9.9\n---\n" + MINIMAL, "this is not YAML"),
    ("huge directive", "%YAML " + "9" * 5000 + ".1\n---\n" + MINIMAL, "line 1: this is not YAML"),
    ("binary", b"\x00\x01\x02\x03", "line 1: found the control character U+0000"),
    ("elf", b"\x7fELF\x02\x01\x01", "control character U+007F"),
    ("png", b"\x89PNG\r\n\x1a\n", "line 1: byte 0x89 is not UTF-8"),
    ("latin-1", MINIMAL.replace("Does it?", "Größe?").encode("latin-1"), "line 2: byte 0xf6 is not UTF-8"),
    ("utf-16", MINIMAL.encode("utf-16"), "byte 0xff is not UTF-8"),
    ("escape", MINIMAL.replace("Does it?", "\x1b[31m"), "line 2: found the control character U+001B"),
    ("escaped NUL", MINIMAL.replace("Does it?", '"\\0"'), "line 2: an escape gives the control character U+0000"),
    ("lone surrogate", MINIMAL.replace("Does it?", '"\\ud800"'), "U+D800"),
    ("no character", MINIMAL.replace("Does it?", '"\\UFFFFFFFF"'), "line 2: this is not YAML"),
    ("big file", MINIMAL + "#" * 1_000_000, "line 6: the file goes on after 1,000,000 bytes"),
    ("big lines", MINIMAL + "#\n" * 600_000, "the file goes on"),
    ("many values", "hypotheses:\n" + "- a\n" * 60_000, "more than 50,000 values"),
    ("deep lists", MINIMAL + "hypotheses: " + "[" * 90_000, "line 6: values are nested more than 50 deep"),
    ("deep mappings", MINIMAL + "sweep: " + "{a: " * 1000 + "}" * 1000, "nested more than 50 deep"),
    ("deep dashes", "- " * 5000, "nested more than 50 deep"),
    ("key is a list", "? [a, b]\n: 1\n", "a key must be a plain word"),
    ("bomb", "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", "line 1: anchors (&name) and aliases"),
    ("alias", MINIMAL.replace("Does it?", "*it"), "line 2: anchors (&name) and aliases"),
    ("loop", "a: &a [*a]\n", "anchors (&name) and aliases"),
    ("anchored key", "&k name: x\n", "anchors"),
    ("device", MINIMAL + "device: cuda\n", "'device': this version computes on the processor, or on one CUDA device"),
    ("device map", MINIMAL + "sweep: {device_map: auto}\n", "(device_map) were never tested and are refused"),
    ("merge key", MINIMAL + "<<: {seed: 1}\n", "'<<' is not a key that is known here"),
    ("python object", MINIMAL.replace("Does it?", "!!python/object/apply:os.system [ls]"), "line 2: found the tag"),
    ("own tag", MINIMAL.replace("Does it?", "!secret x"), "line 2: found the tag '!secret'"),
    ("tagged number", MINIMAL + "seed: !!int 3\n", "tags are not read"),
    ("duplicate key", MINIMAL + "name: other\n", "line 6: the key 'name' is given twice; it is already on line 1"),
    ("duplicate tier", MINIMAL + "  tier1: {task: symbolic}\n", "line 6: the key 'tier1' is given twice"),
    ("nan", MINIMAL + "sweep: {alphas: [.nan]}\n", "line 6: found '.nan'; NaN and infinity are not allowed"),
    ("word nan", MINIMAL + "sweep: {alphas: [nan]}\n", "line 6: found 'nan'"),
    ("inf", MINIMAL + "sweep: {alphas: [-.inf]}\n", "line 6: found '-.inf'"),
    ("overflow", MINIMAL + "sweep: {alphas: [1e999]}\n", "the number 1e999 is too large"),
    ("many digits", MINIMAL + "seed: " + "9" * 100_000 + "\n", "line 6: the number 99999999999999999999…"),
    (
        "placebo",
        MINIMAL + "sweep:\n  alphas: [0.5, 1]\n",
        "line 7: sweep.alphas: found a list (of 2); alpha = 1 changes nothing",
    ),
    ("placebo 1.0", MINIMAL + "sweep: {alphas: [1.0]}\n", "alpha = 1 changes nothing"),
    ("alpha twice", MINIMAL + "sweep: {alphas: [0.5, 5e-1]}\n", "a factor is listed twice"),
    ("alpha far", MINIMAL + "sweep: {alphas: [0.5, 101]}\n", "sweep.alphas[1]: found 101"),
    ("no alphas", MINIMAL + "sweep: {alphas: []}\n", "at least 1 item"),
    ("yes is a word", MINIMAL + "seed: yes\n", 'line 6: seed: found the text "yes"; a whole number is needed'),
    ("leading zero", MINIMAL + "seed: 012\n", "write 12 without quotes, leading zeros or separators"),
    ("separator", MINIMAL + "block: 1_024\n", "write 1024 without quotes"),
    ("hexadecimal", MINIMAL + "seed: 0x10\n", 'found the text "0x10"; a whole number is needed'),
    ("sexagesimal", MINIMAL + "seed: 1:30\n", 'found the text "1:30"'),
    ("date", MINIMAL + "seed: 2026-11-22\n", 'found the text "2026-11-22"'),
    ("quoted number", MINIMAL + "seed: '3'\n", "write 3 without quotes"),
    ("exponent", MINIMAL + "seed: 1e3\n", "seed: found 1000.0; a whole number is needed; write 1000"),
    ("true for 1", "lesion: true\n" + MINIMAL, "line 1: lesion: allowed: 1, 2, as a plain whole number"),
    ("version 3", "lesion: 3\n" + MINIMAL, "line 1: lesion: found 3; allowed: 1, 2"),
    ("claims of format 1", "lesion: 1\nclaims: {}\n" + MINIMAL, "claims: format 1 has none"),
    ("no claims", MINIMAL + "claims: null\n", "claims: format 2 needs them"),
    ("ablations", MINIMAL + "sweep: {ablations: [mean]}\n", "sweep.ablations: format 2 measures"),
    ("zero without a word", MINIMAL + "claims: {primary: zero}\n", "why_zero: zero is far"),
    ("a word without zero", MINIMAL + "claims: {why_zero: so}\n", "why_zero: primary is auto"),
    ("no prefix", MINIMAL + "claims: {prefixes: 0}\n", "prefixes"),
    ("nats by default", MINIMAL + "claims: {outcome: logit_diff}\n", "verdict.margin: claims.outcome is logit_diff"),
    ("a share above 1", MINIMAL + "verdict: {margin: 1.5}\n", "verdict.margin: accuracy differs by a share"),
    (
        "all of the headroom",
        MINIMAL + "verdict: {margin: 2, effect: 1, spread: 2}\nbaseline: {spread: 1}\n"
        "claims: {outcome: logit_diff, margin_of: headroom}\n",
        "verdict.margin: with claims.margin_of headroom",
    ),
    ("three looks", MINIMAL + "verdict: {looks: 3}\n", "verdict.looks: found 3; allowed: 1, 2"),
    ("true looks", MINIMAL + "verdict: {looks: true}\n", "verdict.looks: allowed: 1, 2"),
    (
        "bad site",
        MINIMAL + "sweep:\n  target:\n    kind: sites\n    sites: [L1H]\n",
        "line 9: sweep.target.sites: found",
    ),
    ("mixed sites", MINIMAL + "sweep: {target: {kind: sites, sites: [L1H1, L1N1]}}\n", "must be of one kind"),
    ("site twice", MINIMAL + "sweep: {target: {kind: sites, sites: [L1H1, L1H1]}}\n", "a site is named twice"),
    ("negative site", MINIMAL + "sweep: {target: {kind: sites, sites: [L-1H1]}}\n", "is not a site"),
    ("huge site", MINIMAL + f"sweep: {{target: {{kind: sites, sites: [L{'9' * 500}H1]}}}}\n", "is not a site"),
    ("no sites", MINIMAL + "sweep:\n  target: {kind: sites}\n", "line 7: sweep.target lacks the key 'sites'"),
    (
        "no kind",
        MINIMAL + "sweep:\n  target: {most: 3}\n",
        "line 7: sweep.target lacks the key 'kind'; allowed: all_but, detected, neurons, screened, sites",
    ),
    ("bad kind", MINIMAL + "sweep: {target: {kind: site}}\n", "sweep.target.kind: found 'site'; did you mean 'sites'?"),
    ("other kind's key", MINIMAL + "sweep: {target: {kind: sites, sites: [L1H1], most: 3}}\n", "'most' is not a key"),
    ("bad detector", MINIMAL + "sweep: {target: {kind: detected, detector: inducton}}\n", "did you mean 'induction'?"),
    (
        "bad task",
        MINIMAL.replace("arithmetic", "arithmetik"),
        "line 5: tasks.tier1.task: found 'arithmetik'; did you mean",
    ),
    ("no tasks", MINIMAL.replace("\n  tier1: {task: arithmetic}", " {}"), "line 4: tasks: found a mapping (of 0)"),
    ("bad tier name", MINIMAL.replace("tier1", "Tier 1"), "line 5: tasks.Tier 1: found the text"),
    (
        "operands upside down",
        MINIMAL.replace("arithmetic}", "arithmetic, low: 50, high: 9}"),
        "high (9) lies below low (50)",
    ),
    ("model upper case", MINIMAL.replace("zoo:abacus-llama", "zoo:Abacus"), "did you mean 'zoo:abacus'?"),
    ("model branch", MINIMAL.replace("zoo:abacus-llama", "org/name@main"), "line 3: models[0]: found the text"),
    ("model unknown scheme", MINIMAL.replace("zoo:abacus-llama", "hf:gpt2"), "`zoo:NAME`, `tiny:FAMILY`"),
    ("no models", MINIMAL.replace("[zoo:abacus-llama]", "[]"), "line 3: models: found a list (of 0)"),
    ("name with a path", MINIMAL.replace("smallest", "../../etc"), "line 1: name: found the text"),
    ("name upper case", MINIMAL.replace("smallest", "Smallest"), "did you mean 'smallest'?"),
    ("unknown control", MINIMAL + "positive_control: tier2\n", "line 6: positive_control: did you mean 'tier1'?"),
    ("two seeds", MINIMAL + "baseline: {seeds: 2}\n", "it must be greater than or equal to 3"),
    ("bad positions", MINIMAL + "sweep: {positions: first}\n", "sweep.positions: found the text"),
]


@pytest.mark.smoke
@pytest.mark.timeout(30)
@pytest.mark.parametrize(("text", "part"), [case[1:] for case in TEXTS], ids=[case[0] for case in TEXTS])
def test_a_malformed_text_gets_one_clear_complaint(text: str | bytes, part: str):
    assert part in complaint(text)


def test_the_first_complaint_comes_first_and_five_are_enough():
    study = copy.deepcopy(VALID) | {"budget": dict.fromkeys(VALID["budget"], -1), "seed": -1, "block": 1, "name": "X"}
    study["baseline"] = {"seeds": 1, "items": 1, "spread": 0}
    lines = complaint(written(study)).splitlines()
    assert len(lines) == 6
    assert [first_line(line) for line in lines] == sorted(first_line(line) for line in lines)
    assert "name" in lines[0]
    assert lines[-1].endswith("and 4 more from here on")


def test_words_that_yaml_1_1_turns_into_booleans_stay_words():
    study = parse_document(MINIMAL.replace("smallest", "no").replace("Does it?", "on"), "study.yaml", Study)
    assert (study.name, study.question) == ("no", "on")


def test_a_missing_file_is_named_with_its_nearest_neighbour(tmp_path: Path):
    (tmp_path / "arithmetic.yaml").write_text(MINIMAL)
    with pytest.raises(
        InputError, match=r"arithmetik\.yaml: there is no such file; did you mean '.*arithmetic\.yaml'\?"
    ):
        load_study(tmp_path / "arithmetik.yaml")
    with pytest.raises(InputError, match=r"there is no such file; `lesion init` writes a study$"):
        load_study(tmp_path / "nowhere" / "study.yaml")


def test_a_folder_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path, tmp_path / "pipe.yaml", Path("/dev/zero")):
        with pytest.raises(InputError, match="only a regular file is read"):
            load_study(path)


@pytest.mark.parametrize("path", ["a\0b.yaml", "x" * 5000 + ".yaml"], ids=["NUL", "too long"])
def test_a_path_that_no_file_can_have_is_refused(path: str):
    with pytest.raises(InputError, match="cannot be opened"):
        load_study(path)


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "study.yaml"
    path.write_text(MINIMAL)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(InputError, match=r"cannot be opened \(Permission denied\)"):
        load_study(path)


def reads_or_complains(text: str | bytes) -> None:
    """The one property of all inputs: a study, or an InputError that names file and line."""
    try:
        parse_document(text, "study.yaml", Study)
    except InputError as error:
        message = str(error)
    else:
        return
    assert all(COMPLAINT.match(line) for line in message.splitlines()), message


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_complained_about(data: bytes):
    reads_or_complains(data)


@settings(max_examples=300)
@given(st.text(alphabet="ab01:-#&*!|>'\"%@`{}[],?~<. \n\t\\xuU\x85\u2028", max_size=60))
def test_any_soup_of_yaml_marks_is_read_or_complained_about(text: str):
    reads_or_complains(text)
    reads_or_complains(MINIMAL + text)


@settings(max_examples=200)
@given(st.data())
def test_a_study_with_some_characters_changed_is_read_or_complained_about(data: st.DataObject):
    text = written(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(start + 8, len(text))))
        text = text[:start] + data.draw(st.text(max_size=4)) + text[stop:]
    reads_or_complains(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150)
@given(st.sampled_from(paths(VALID)), JSON)
def test_a_study_with_any_value_anywhere_is_read_or_complained_about(path: tuple[Any, ...], value: Any):
    reads_or_complains(json.dumps(replaced(path, value), ensure_ascii=False))
    reads_or_complains(json.dumps(replaced(path, value)))
