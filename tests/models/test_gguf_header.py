"""The header of a GGUF file is held against its bytes and against limits, before anything heavy is imported."""

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from transformers.modeling_gguf_pytorch_utils import GGUF_TO_TRANSFORMERS_MAPPING
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # pyright: ignore[reportPrivateImportUsage]

from lesion.errors import InputError
from lesion.models.families import FAMILIES
from lesion.models.obtain.gguf_header import ARCHITECTURES, require_header


def text(words: str) -> bytes:
    return struct.pack("<Q", len(words.encode())) + words.encode()


def field(name: str, kind: int, letter: str, value: Any) -> bytes:
    return text(name) + struct.pack(f"<I{letter}", kind, value)


NAME = text("general.architecture") + struct.pack("<I", 8) + text("llama")
BLOCKS = field("llama.block_count", 4, "I", 2)
TENSOR = text("token_embd.weight") + struct.pack("<IQQIQ", 2, 4, 4, 0, 0)


def header(keys: bytes = NAME + BLOCKS, count: int = 2, tensors: int = 1, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, count) + keys + TENSOR * min(tensors, 3)


GARBAGE = {
    "empty": b"",
    "other letters": b"GGML" + header()[4:],
    "random bytes": b"GGUF" + np.random.default_rng(0).bytes(10_000),
    "version 9": header(version=9),
    "a billion tensors": header(tensors=10**9),
    "a billion keys": header(count=10**9),
    "a text longer than the file": header(struct.pack("<Q", 10**9)),
    "a text of 2^63 bytes": header(struct.pack("<Q", 2**63)),
    "an array longer than the file": header(NAME + text("a") + struct.pack("<IIQ", 9, 4, 60_000)),
    "an array of a billion": header(NAME + text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 10**9)),
    "an array of arrays": header(NAME + text("a") + struct.pack("<IIQ", 9, 9, 1) + bytes(40)),
    "an unknown type": header(NAME + text("a") + struct.pack("<I", 77)),
    "a name of other bytes": header(struct.pack("<Q", 2) + b"\xff\xfe" + bytes(100)),
    "a key twice": header(NAME + NAME),
    "a tensor twice": header(tensors=2),
    "no family": header(BLOCKS, 1),
    "an unknown family": header(NAME.replace(b"llama", b"nobody").replace(struct.pack("<Q", 5), struct.pack("<Q", 6))),
    "a billion layers": header(NAME + field("llama.block_count", 4, "I", 10**9)),
    "layers as text": header(NAME + text("llama.block_count") + struct.pack("<I", 8) + text("2")),
    "no heads": header(NAME + field("llama.attention.head_count", 4, "I", 0)),
    "a negative width": header(NAME + field("llama.embedding_length", 5, "i", -4)),
    "a norm that is no number": header(NAME + field("llama.attention.layer_norm_rms_epsilon", 6, "f", float("nan"))),
    "a tensor beyond the file": header().replace(struct.pack("<QQ", 4, 4), struct.pack("<QQ", 10**6, 10**6)),
    "a tensor of 2^64 dimensions": header().replace(struct.pack("<IQQ", 2, 4, 4), struct.pack("<IQQ", 2**32 - 1, 4, 4)),
}  # fmt: skip


@pytest.mark.parametrize("kind", GARBAGE)
def test_a_header_that_cannot_be_true_is_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(GARBAGE[kind])
    with pytest.raises(InputError) as refused:
        require_header(path)
    assert 20 < len(str(refused.value)) < 600


def test_a_true_header_passes_and_no_cut_of_it_does(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(header())
    require_header(path)
    for length in range(len(header())):
        path.write_bytes(header()[:length])
        with pytest.raises(InputError, match=r"cut off or damaged|not a GGUF file"):
            require_header(path)


def test_a_file_of_the_other_byte_order_is_read(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama", endianess=gguf.GGUFEndian.BIG)
    writer.add_block_count(2)
    writer.add_tensor("token_embd.weight", np.ones((4, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    require_header(tmp_path / "x.gguf")


def test_the_families_are_those_that_transformers_reads_and_that_are_known_here() -> None:
    known = {family.config for family in FAMILIES.values()}
    read = {name for name in GGUF_TO_TRANSFORMERS_MAPPING["config"] if CONFIG_MAPPING_NAMES.get(name) in known}
    assert set(ARCHITECTURES) == read | {"gemma3"}


def test_garbage_is_refused_without_torch(tmp_path: Path) -> None:
    """Torch and transformers cost 345 MB and seconds."""
    (tmp_path / "x.gguf").write_bytes(GARBAGE["a billion keys"])
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("[" * 1000)
    code = (
        "import sys\nfrom lesion import cli\n"
        "for words in (['x.gguf'], ['folder'], ['zoo:abacus-llama', '--adapter', 'folder'], ['missing']):\n"
        "    try:\n        cli.main(['import', *words, '--out', 'new'])\n"
        "    except SystemExit as ended:\n        assert ended.code == 2\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.strip().splitlines()) == 4
