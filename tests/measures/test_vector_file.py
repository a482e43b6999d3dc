"""Steering vectors in files: what is written is read back, and everything else is refused in a sentence."""

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from safetensors.torch import save_file

from lesion.errors import InputError, Tampered
from lesion.identity import file_hash
from lesion.interventions.site import stream
from lesion.measures.effects.vector_file import read_vector, write_vector

SITE = stream(3)
VECTOR = torch.arange(8, dtype=torch.float32)


@pytest.mark.parametrize("name", ["v.npy", "v.safetensors"])
def test_a_vector_is_read_back(tmp_path, name):
    write_vector(tmp_path / name, SITE, VECTOR)
    assert torch.equal(read_vector(tmp_path / name, SITE), VECTOR)
    assert torch.equal(read_vector(tmp_path / name, SITE, sha256=file_hash(tmp_path / name)), VECTOR)
    with pytest.raises(Tampered, match="the study asks for"):
        read_vector(tmp_path / name, SITE, sha256="0" * 64)


def control_vector(path, layers=(1, 2, 3)):
    writer = GGUFWriter(str(path), "controlvector")
    for layer in layers:
        writer.add_tensor(f"direction.{layer}", VECTOR.numpy() + layer)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()


def test_a_control_vector_is_that_of_the_block_before_the_stream(tmp_path):
    control_vector(tmp_path / "v.gguf")
    assert torch.equal(read_vector(tmp_path / "v.gguf", SITE), VECTOR + 2)
    assert torch.equal(read_vector(tmp_path / "v.gguf", SITE, "direction.1"), VECTOR + 1)
    with pytest.raises(InputError, match="no tensor 'direction"):
        read_vector(tmp_path / "v.gguf", stream(7))


def test_what_is_no_vector_is_refused_in_a_sentence(tmp_path):
    save_file({"a": VECTOR, "b": VECTOR + 1}, tmp_path / "two.safetensors")
    np.save(tmp_path / "square.npy", np.zeros((3, 3)))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}]), allow_pickle=True)
    np.save(tmp_path / "nan.npy", np.array([np.nan]))
    for name in ("cut.npy", "cut.safetensors", "cut.gguf", "v.pt", "v.txt"):
        (tmp_path / name).write_bytes(b"no vector")
    for name, said in (
        ("two.safetensors", "2 tensors"), ("square.npy", "one row"), ("objects.npy", "no array"), ("nan.npy", "finite"),
        ("cut.npy", "no array"), ("cut.safetensors", "damaged"), ("cut.gguf", "cut off"), ("v.pt", "can run code"),
        ("v.txt", "give .npy"), ("absent.npy", "absent"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            read_vector(tmp_path / name, SITE)
    with pytest.raises(InputError, match="written as"):
        write_vector(tmp_path / "v.pt", SITE, VECTOR)
