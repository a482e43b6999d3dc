"""The commands on edges, as they are typed."""

import json

TASK = ("--task", "arithmetic high=9 shots=0", "--items", "4")


def test_edges_writes_a_graph_that_faithful_keeps(call, tmp_path):
    out = tmp_path / "graph.json"
    code, said, _ = call(
        "edges", "tiny:gpt2", *TASK, "--method", "eap", "--top", "4", "--confirm", "none", "--out", str(out)
    )
    assert code == 0
    assert "262 edges, 4 prompt pairs" in said
    assert max(len(line) for line in said.splitlines() if str(out) not in line) <= 80
    code, said, _ = call("faithful", "tiny:gpt2", *TASK, "--edges", "--set", str(out), "--json")
    assert code == 0
    assert len(json.loads(said)["set"]["edges"]) == 4


def test_what_cannot_be_asked_of_edges_is_refused_in_a_sentence(call):
    for arguments, words in [
        (("edges", "tiny:gpt2", "--method", "eap-gi"), "no way to measure edges"),
        (("edges", "tiny:gpt2", "--confirm", "some"), "nothing to confirm"),
        (("edges", "tiny:gpt2", *TASK, "--edges", "L0H9->logits"), "sends nothing in this model"),
        (("edges", "tiny:gemma2", *TASK), "normalises what attention adds"),
        (("faithful", "tiny:gpt2", "--edges", "--set", "input->logits", "--each"), "take nodes"),
        (("faithful", "tiny:gpt2", "--set", "input->logits", "--ablation", "zero"), "corrupted contribution"),
    ]:
        code, _, said = call(*arguments)
        assert (code != 0, words in " ".join(said.split()), "Traceback" in said) == (True, True, False), arguments
