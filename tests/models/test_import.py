"""GGUF files, pickled folders and adapters become folders that open, with the numbers that they had."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from lesion.errors import InputError
from lesion.models.model import open_model
from lesion.models.obtain.from_folder import import_adapted, import_pickled
from lesion.models.obtain.from_gguf import import_gguf
from lesion.models.obtain.origin import read_origin

Call = Callable[..., tuple[int, str, str]]
Q = gguf.GGMLQuantizationType
ZOO = Path(__file__).resolve().parents[2] / "lesion" / "models" / "zoo"
CORPUS = ["12 + 34 = 46;\n  7", "don't  stop\n\n1 000", "naïve 你好\t<|im_start|>user", " 3 ", "x=1234567890"]


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3_text", "gpt2"])
@pytest.mark.parametrize("kind", [Q.Q8_0, Q.F32])
def test_every_tensor_is_the_files_own_dequantised(write_gguf: Any, tmp_path: Path, family: str, kind: Any):
    made = write_gguf(family, kind)
    import_gguf(made.path, tmp_path / "out", "float32", None)
    found = load_file(tmp_path / "out" / "model.safetensors")
    asked = dict(made.module.named_parameters())
    assert found.keys() == asked.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in asked.items())
    opened = open_model(str(tmp_path / "out"))
    ids = torch.tensor([[5, 9, 2, 40, 41]])
    with torch.inference_mode():
        assert torch.allclose(opened.module(ids).logits, made.module(ids).logits, atol=1e-5)


def test_bfloat16_is_rounded_once(write_gguf: Any, tmp_path: Path):
    made = write_gguf()
    origin = import_gguf(made.path, tmp_path / "out", "bfloat16", None)
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert origin.dtype == "bfloat16"
    assert all(torch.equal(found[name], p.bfloat16()) for name, p in made.module.named_parameters())


@pytest.mark.parametrize("before", ["gpt-2", "smollm"])
def test_text_is_cut_as_by_the_vocabulary_that_was_learned(write_gguf: Any, tmp_path: Path, before: str):
    made = write_gguf(before=before)
    import_gguf(made.path, tmp_path / "out", "float32", None)
    found = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    for text in CORPUS:
        assert found.encode(text).ids == made.tokenizer.encode(text).ids
        assert found.decode(found.encode(text).ids, skip_special_tokens=False) == text
    assert "<|im_start|>{{ m['content'] }}" in (tmp_path / "out" / "chat_template.jinja").read_text()
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["add_bos_token"] is False


def test_one_matrix_quantised_twice_stays_one_and_the_finer_is_kept(write_gguf: Any, tmp_path: Path):
    made = write_gguf(kind=Q.Q4_0, head=Q.F32)
    origin = import_gguf(made.path, tmp_path / "out", "float32", None)
    assert "quantised twice" in origin.embeddings
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["tie_word_embeddings"] is True
    assert "quantization_config" not in config
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert "lm_head.weight" not in found
    assert torch.equal(found["model.embed_tokens.weight"], made.module.lm_head.weight)


def test_two_matrices_stay_two(write_gguf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = write_gguf(kind=Q.Q4_0, head=Q.F32)
    monkeypatch.setattr("lesion.models.obtain.gguf_file.SAME_MATRIX", -1.0)
    origin = import_gguf(made.path, tmp_path / "out", "float32", None)
    assert origin.embeddings == "two matrices, as in the file"
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is False
    assert "lm_head.weight" in load_file(tmp_path / "out" / "model.safetensors")


def test_the_card_says_where_the_numbers_come_from(write_gguf: Any, tmp_path: Path):
    made = write_gguf()
    origin = import_gguf(made.path, tmp_path / "out", "float32", None)
    assert read_origin(tmp_path / "out") == origin
    assert origin.weights_hash == open_model(str(tmp_path / "out")).weights_hash
    card = (tmp_path / "out" / "README.md").read_text()
    assert origin.file_sha256 in card
    assert "apache-2.0" in card
    assert "Q8_0" in card
    assert str(tmp_path) not in card


def _left_out(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(8.0)


def test_a_setting_that_transformers_leaves_out_is_refused(write_gguf: Any, tmp_path: Path):
    with pytest.raises(InputError, match=r"llama\.rope\.scaling\.\w+ = .* leaves it out"):
        import_gguf(write_gguf(extra=_left_out).path, tmp_path / "out", "float32", None)


def test_a_tensor_without_a_place_is_refused(write_gguf: Any, tmp_path: Path):
    made = write_gguf(extra=lambda w: w.add_tensor("rope_freqs.weight", torch.ones(8).numpy()))
    with pytest.raises(InputError, match=r"tensor rope_freqs\.weight has no place in LlamaForCausalLM"):
        import_gguf(made.path, tmp_path / "out", "float32", None)


def test_a_cut_file_and_one_of_another_kind_are_one_sentence(write_gguf: Any, tmp_path: Path, call: Call):
    made = write_gguf()
    whole = made.path.read_bytes()
    for name, data in (("cut", whole[: len(whole) // 2]), ("short", whole[:50]), ("text", b"hello"), ("empty", b"")):
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(data)
        code, said, error = call("import", str(path), "--out", str(tmp_path / "out"))
        assert (code, said, len(error.strip().splitlines())) == (2, "", 1), name
        assert not (tmp_path / "out").exists()
        assert not list(tmp_path.glob(".*.half"))


def test_a_family_that_is_not_known_is_one_sentence(tmp_path: Path, call: Call):
    for kind in ("mamba", "nonesuch"):
        writer = gguf.GGUFWriter(tmp_path / f"{kind}.gguf", kind)
        writer.add_tensor("token_embd.weight", torch.ones(4, 4).numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        code, _, error = call("import", str(tmp_path / f"{kind}.gguf"), "--out", str(tmp_path / "out"))
        assert code == 2
        assert kind in error


@pytest.mark.smoke
def test_a_gguf_as_a_model_is_told_the_command(tmp_path: Path, call: Call):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    for command in ("tokens", "doctor"):
        code, _, error = call(command, str(tmp_path / "m.gguf"))
        assert code == 2
        assert f"`lesion import {tmp_path / 'm.gguf'} --out DIR`" in error


def test_nothing_is_overwritten(write_gguf: Any, tmp_path: Path):
    made = write_gguf()
    with pytest.raises(InputError, match="is there already"):
        import_gguf(made.path, tmp_path, "float32", None)


def test_a_full_disk_is_told_before_anything_is_converted(
    write_gguf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = write_gguf()
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(InputError, match="MB are needed and 0 MB are free"):
        import_gguf(made.path, tmp_path / "out", "float32", None)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    """An embedded model with its weights as a pickle."""
    folder = tmp_path / "pickled"
    shutil.copytree(ZOO / "abacus-gpt2", folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_a_pickled_folder_is_told_the_command_and_converted(pickled: Path, tmp_path: Path, call: Call):
    code, _, error = call("doctor", str(pickled))
    assert code == 2
    assert f"`lesion import {pickled} --out DIR`" in error
    code, said, _ = call("import", str(pickled), "--out", str(tmp_path / "out"), "--json")
    assert code == 0
    assert json.loads(said)["dtype"] == "float32"
    before, after = open_model("zoo:abacus-gpt2"), open_model(str(tmp_path / "out"))
    pairs = zip(before.module.state_dict().values(), after.module.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert before.tokenizer_hash == after.tokenizer_hash


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_with_code_is_refused_and_not_run(pickled: Path, tmp_path: Path):
    torch.save({"weight": _Evil(tmp_path / "run")}, pickled / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"cannot be loaded|holds something else than tensors"):
        import_pickled(pickled, tmp_path / "out", None)
    (pickled / "pytorch_model.bin").write_bytes(pickle.dumps(_Evil(tmp_path / "run"), protocol=2))
    with pytest.raises(InputError, match=r"cannot be loaded|holds something else than tensors"):
        import_pickled(pickled, tmp_path / "out", None)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "out").exists()


def adapter(folder: Path, targets: dict[str, tuple[int, int]], **settings: Any) -> dict[str, torch.Tensor]:
    """A LoRA adapter of rank 4 and alpha 8; targets are (inputs, outputs)."""
    folder.mkdir(exist_ok=True)
    made = torch.Generator().manual_seed(0)
    tensors = {}
    for module, (inputs, outputs) in targets.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = torch.randn(4, inputs, generator=made)
        tensors[f"base_model.model.{module}.lora_B.weight"] = torch.randn(outputs, 4, generator=made)
    save_file(tensors, folder / "adapter_model.safetensors")
    told = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "base_model_name_or_path": "some/base"}
    (folder / "adapter_config.json").write_text(json.dumps({**told, **settings}))
    return tensors


@pytest.mark.parametrize(
    ("base", "module", "sizes", "settings", "scale"),
    [
        ("zoo:abacus-llama", "model.layers.1.self_attn.q_proj", (128, 128), {}, 2.0),
        ("zoo:abacus-llama", "model.layers.0.mlp.down_proj", (None, 128), {"use_rslora": True}, 4.0),
        ("zoo:abacus-gpt2", "transformer.h.0.attn.c_attn", (None, None), {"fan_in_fan_out": True}, 2.0),
    ],
)
def test_an_adapter_adds_its_two_small_matrices(
    tmp_path: Path, base: str, module: str, sizes: Any, settings: Any, scale: float
):
    before = open_model(base)
    part = before.submodule(module)
    weight = part.weight if not settings.get("fan_in_fan_out") else part.weight.T
    outputs, inputs = weight.shape
    tensors = adapter(tmp_path / "lora", {module: (inputs, outputs)}, **settings)
    import_adapted(base, tmp_path / "lora", tmp_path / "out", None)
    after = open_model(str(tmp_path / "out")).submodule(module)
    down, up = (tensors[f"base_model.model.{module}.lora_{side}.weight"] for side in "AB")
    reads = torch.randn(3, inputs, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        asked = part(reads) + scale * (reads @ down.T) @ up.T
        assert torch.allclose(after(reads), asked, atol=1e-4)
        assert not torch.allclose(after(reads), part(reads), atol=1e-1)


def test_an_adapter_alone_or_beside_its_base_is_never_half_read(tmp_path: Path, call: Call):
    adapter(tmp_path / "lora", {"model.layers.1.self_attn.q_proj": (128, 128)})
    code, _, error = call("doctor", str(tmp_path / "lora"))
    assert code == 2
    assert "adapter (LoRA) of some/base and no model; `lesion import BASE --adapter" in error
    beside = tmp_path / "beside"
    shutil.copytree(ZOO / "abacus-llama", beside)
    adapter(beside, {"model.layers.1.self_attn.q_proj": (128, 128)})
    code, _, error = call("tokens", str(beside))
    assert code == 2
    assert "an adapter (LoRA) beside it" in error
    code, _, error = call("import", str(beside), "--adapter", str(beside), "--out", str(tmp_path / "out"))
    assert code == 0, error
    merged, base = open_model(str(tmp_path / "out")), open_model("zoo:abacus-llama")
    changed = [
        name
        for (name, one), other in zip(base.module.named_parameters(), merged.module.parameters(), strict=True)
        if not torch.equal(one, other)
    ]
    assert changed == ["model.layers.1.self_attn.q_proj.weight"]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"peft_type": "IA3"}, "only LORA"),
        ({"r": 0}, "r must be a positive number"),
        ({"r": 8}, "and r = 8"),
    ],
)
def test_what_is_not_plain_lora_is_refused(tmp_path: Path, settings: Any, why: str):
    adapter(tmp_path / "lora", {"model.layers.1.self_attn.q_proj": (128, 128)}, **settings)
    with pytest.raises(InputError, match=why):
        import_adapted("zoo:abacus-llama", tmp_path / "lora", tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def test_an_adapter_of_another_base_is_refused(tmp_path: Path):
    adapter(tmp_path / "lora", {"model.layers.9.self_attn.q_proj": (128, 128)})
    with pytest.raises(InputError, match="the base has no such matrix"):
        import_adapted("zoo:abacus-llama", tmp_path / "lora", tmp_path / "out", None)


@pytest.mark.pretrained
def test_smollm2_holds_what_gguf_py_reads(smollm2: str, smollm2_model: Any):
    """One head of every projection of block 7, by its rows; the file itself is not kept, so its card's hash is held."""
    origin = read_origin(smollm2_model.folder)
    assert origin is not None
    assert origin.weights_hash == smollm2_model.weights_hash
    assert origin.parameters == 134_515_008
    assert smollm2_model.tokenizer.encode("x  12\n 3").tokens == ["x", "ĠĠ", "1", "2", "ĊĠ", "3"]
