"""What is refused before a run leaves a trace: here a task whose format its models do not read."""

import json
from pathlib import Path

import pytest
import yaml
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from lesion.errors import InputError
from lesion.identity import file_hash
from lesion.models.model import open_model
from lesion.runs.execute.prepare import prepare_plan
from lesion.runs.measure.cell_items import block_of
from lesion.study.format.load import parse_document
from lesion.study.plan import Cell
from lesion.study.study import Study
from lesion.tasks.tokenizers.prompt_contract import Refused

PIECES = ["<pad>", "<bos>", *"0123456789+-*=;ABQ?:", " ", "\n", "=-"]


@pytest.fixture
def reader(tmp_path: Path) -> str:
    """A model whose vocabulary has a space, and a token that joins `=` to a minus."""
    open_model("tiny:llama").module.save_pretrained(tmp_path)
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(PIECES)}))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"=-|[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<bos>"}))
    return str(tmp_path)


def _study(small_text: str, name: str, written: str = "", **more: object) -> Study:
    said = yaml.safe_load(small_text)
    task = {**said["tasks"]["tier1"], **({"format": written} if written else {})}
    return parse_document(
        yaml.safe_dump({**said, "models": [name], "tasks": {"tier1": task}, **more}), "small.yaml", Study
    )


def test_a_model_that_reads_spaces_is_asked_for_the_format(small_text: str, reader: str) -> None:
    with pytest.raises(InputError, match="no format is given: add `format: equation`, or `format: compact`"):
        prepare_plan(_study(small_text, reader), "k")
    for written in ("equation", "compact"):
        prepare_plan(_study(small_text, reader, written), "k")


def test_a_file_of_prompts_needs_its_hash_and_enough_prompts(small_text: str, reader: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("prompt,answer\n" + "".join(f"{i}?,{i % 7}\n" for i in range(300)))
    said = yaml.safe_load(small_text)

    def plan(**more: object) -> None:
        tasks = {"tier1": {"task": "file", "path": str(path), **more}}
        prepare_plan(parse_document(yaml.safe_dump({**said, "models": [reader], "tasks": tasks}), "s.yaml", Study), "k")

    with pytest.raises(InputError, match=f"names the file of its prompts by its hash: add `sha256: {file_hash(path)}`"):
        plan()
    plan(sha256=file_hash(path))
    with pytest.raises(
        InputError, match=r"sweep.items is \d+, and its discovery pool holds \d: .* add prompts to .*csv"
    ):
        plan(sha256=file_hash(path), discovery=0.01)


def test_the_format_chat_needs_the_template(small_text: str, reader: str) -> None:
    with pytest.raises(InputError, match="needs the model's chat template: add `chat"):
        prepare_plan(_study(small_text, reader, "chat"), "k")


def test_an_item_whose_interventions_have_no_token_is_refused(small_text: str, reader: str) -> None:
    sites = {"target": {"kind": "sites", "sites": ["L0H1"]}, "items": 64, "alphas": [0.0], "best": 1, "controls": 1}
    model, cell = open_model(reader), Cell(stage="discovery", model=reader, tier="tier1", stop=64)
    below = {}
    for positions in ("role:equals", "role:operand_2"):
        study = _study(small_text, reader, "compact", sweep={**sites, "positions": positions})
        block = block_of(model, cell, prepare_plan(study, "k"))
        asked = zip(block.items, block.compiled, strict=True)
        below[positions] = [one for item, one in asked if item.answer.startswith("-")]
    assert len(below["role:equals"]) > 5
    assert {one.reason for one in below["role:equals"] if isinstance(one, Refused)} == {"role_crosses_token"}
    assert all(isinstance(one, Refused) for one in below["role:equals"])
    assert not any(isinstance(one, Refused) for one in below["role:operand_2"])
