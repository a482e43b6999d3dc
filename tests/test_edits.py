"""The commands that edit cell by cell: patch, ablate, steer. One document for programs, words for people, refusals."""

import json

import pytest

from lesion.errors import InputError, InterventionError
from lesion.interventions.site import head, parse_site
from lesion.measures.effects.site_groups import select
from lesion.measures.effects.steering import without
from lesion.measures.prompt_set import ask, of
from lesion.models.model import open_model

TINY = ["tiny:llama", "--task", "arithmetic high=9 shots=0", "--items", "12"]


def document(call, *arguments: str) -> dict:
    code, out, _ = call(*arguments, "--json")
    assert code == 0
    return json.loads(out)


@pytest.fixture(scope="module")
def tiny():
    return open_model("tiny:llama")


def test_a_grid_has_every_site_at_every_place_and_the_whole_stream_goes_all_the_way(call):
    found = document(call, "patch", *TINY, "--sites", "streams", "--at", "all+last")
    assert [(c["site"], c["positions"]) for c in found["cells"][:2]] == [
        ("L0.resid_pre", "all"),
        ("L0.resid_pre", "last"),
    ]
    assert all(c["share"] == pytest.approx(1, abs=1e-4) for c in found["cells"] if c["positions"] == "all")
    assert found["items"] + found["without_twin"] == 12
    words = call("patch", *TINY)[1]
    assert words.startswith("Patching corrupted into clean (noising), logit_diff")
    assert f"Rounding: {found['floor']:.0e} nats against float64" in words
    assert max(map(len, words.splitlines())) <= 80


def test_a_set_is_kept_searched_and_read_from_a_file(call, tmp_path):
    path = tmp_path / "set.txt"
    path.write_text("L0H0, L1.mlp_out\n")
    named = document(call, "faithful", *TINY, "--set", str(path), "--each", "--subsets", "2")
    assert named["set"]["nodes"] == ["L0H0", "L1.mlp_out"]
    assert len(named["set"]["minimality"]) == 2
    assert len(named["set"]["completeness"]) == 2
    searched = document(call, "faithful", *TINY, "--prune", "0.05", "--curve", "--ablation", "zero")
    assert searched["curves"][0]["points"][-1]["faithfulness"] == 1, "the whole model"
    assert searched["pruning"]["sets"] == searched["set"]["of"] + 2
    assert [curve["ranking"] for curve in searched["curves"]] == ["signed", "absolute"]
    words = call("faithful", *TINY, "--prune", "0.05", "--curve", "--subsets", "2")[1]
    assert words.startswith("Faithfulness ")
    assert "\nCPR " in words
    assert max(map(len, words.splitlines())) <= 80


def test_pairs_are_of_the_strongest_heads_or_of_those_named(call):
    found = document(call, "pairs", *TINY, "--top", "3", "--ablation", "zero")
    assert (len(found["singles"]), len(found["pairs"])) == (3, 3)
    named = document(call, "pairs", *TINY, "--sites", "L0H0+L1.mlp_out", "--ablation", "counterfactual")
    assert [single["nodes"] for single in named["singles"]] == [["L0H0"], ["L1.mlp_out"]]
    assert named["excess"] == pytest.approx(named["pairs"][0]["interaction"])
    words = call("pairs", *TINY, "--top", "3", "--ablation", "zero")[1]
    assert words.startswith("Pairs of 3 nodes (top 3 single effects on other items)")
    assert max(map(len, words.splitlines())) <= 80


def test_a_path_leaves_out_senders_that_do_not_come_before_the_receiver(call):
    found = document(call, "patch", *TINY, "--path", "--to", "L1H0", "--at", "last")
    assert {cell["site"][:2] for cell in found["cells"]} == {"L0"}
    assert (found["path"], found["to"]) == (True, "L1H0")
    assert "path to L1H0" in call("patch", *TINY, "--path", "--to", "L1H0")[1]
    assert call("patch", *TINY, "--path", "--to", "L1H0", "--sites", "L1H1")[0] == 2


def test_a_staged_ablation_is_cumulative_and_stands_beside_random_orders(call):
    found = document(call, "ablate", *TINY, "--sites", "L0-1.heads", "--chance", "2", "--order", "layer")
    assert [stage["added"] for stage in found["curve"]["stages"]][:2] == [None, "L0H0"]
    lasts = [curve["stages"][-1]["logit_diff"] for curve in (found["curve"], *found["random"])]
    assert lasts == pytest.approx([lasts[0]] * 3, abs=1e-4), "everything scaled is everything scaled, in any order"
    assert found["random"][0]["stages"][1]["added"] != found["random"][1]["stages"][1]["added"]


def test_the_order_by_a_detector_begins_with_the_head_that_it_scores_highest(call):
    found = document(
        call, "ablate", "zoo:abacus-llama", "--items", "4", "--by", "induction", "--chance", "0", "--sites", "L1.heads"
    )
    assert found["curve"]["stages"][1]["added"] == "L1H0"
    words = call("ablate", *TINY, "--sites", "L0.heads")[1]
    assert "in the order of score by effect" in words
    assert "nats against float64; a smaller effect may be none" in words
    assert max(map(len, words.splitlines())) <= 80


def test_a_dose_of_nothing_does_nothing_and_a_command_twice_is_the_same_document(call):
    arguments = ["steer", *TINY, "--shown", "arithmetic high=9 shots=0 operators=+", "--other", "symbolic"]
    found = document(call, *arguments, "--doses", "-1,0,1")
    assert [dose["coefficient"] for dose in found["doses"]] == [-1, 0, 1]
    assert found["doses"][1]["change"] == pytest.approx(0, abs=1e-5)
    assert found["site"] == "L1.resid_pre"
    assert found == document(call, *arguments, "--doses", "-1,0,1")
    words = call(*arguments)[1]
    assert f"Rounding: {found['floor']:.0e} nats" in words
    assert words.startswith("Steering at L1.resid_pre @last")
    assert max(map(len, words.splitlines())) <= 80


def test_a_vector_is_not_tried_on_the_items_it_was_made_from(tiny):
    asked = ask(tiny, "arithmetic high=9 shots=0", 12)
    kept, seen = without(asked, [of(asked.compiled[:5])])
    assert (len(kept.compiled), seen) == (7, 5)
    with pytest.raises(InputError, match="0 of 12 items are not among"):
        without(asked, [asked])


def test_selections_name_the_sites_that_they_say(tiny):
    sizes = tiny.sizes
    assert len(select(sizes, "heads")) == sizes.n_layers * sizes.n_heads
    assert select(sizes, "L1.heads")[0] == head(1, 0)
    assert len(select(sizes, "streams")) == sizes.n_layers + 1
    assert len(select(sizes, "L0-1.neurons")) == 2 * sizes.d_mlp
    assert select(sizes, "L1H0+L0H1+L1H0") == [head(1, 0), head(0, 1)]
    assert select(sizes, "L0.mlp_out") == [parse_site("L0.mlp_out")]
    for text, kind, told in [
        ("haeds", InputError, "did you mean 'heads'"),
        ("L1-0.heads", InputError, "from the lower to the higher"),
        ("L9.heads", InterventionError, "layer 9 of"),
        ("", InputError, "is not a site"),
    ]:
        with pytest.raises(kind, match=told):
            select(sizes, text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("patch", *TINY, "--sites", "L9H0"),
        ("patch", *TINY, "--at", "nowhere"),
        ("patch", *TINY, "--to", "L1H0"),
        ("patch", *TINY, "--path", "--sites", "streams"),
        ("ablate", *TINY, "--by", "inducton"),
        ("ablate", *TINY, "--sites", "streams"),
        ("ablate", *TINY, "--by", "induction", "--sites", "L0.neurons"),
        ("faithful", *TINY),
        ("pairs", *TINY, "--sites", "L0H0"),
        ("pairs", *TINY, "--ablation", "scale"),
        ("faithful", *TINY, "--set", "L0H0", "--prune", "0.1"),
        ("faithful", *TINY, "--set", "streams"),
        ("faithful", *TINY, "--set", "nowhere.json"),
        ("faithful", *TINY, "--set", "L0H0", "--ablation", "scale"),
        ("steer", *TINY, "--shown", "symbolic"),
        ("steer", *TINY, "--shown", "symbolic", "--other", "arithmetic", "--doses", "1,two"),
        ("steer", *TINY, "--shown", "symbolic", "--other", "arithmetic", "--doses", "nan"),
        ("steer", *TINY, "--shown", "symbolic", "--other", "arithmetic", "--at", "nowhere"),
    ],
)
def test_bad_arguments_end_with_2_and_a_sentence(call, arguments: tuple[str, ...]):
    code, out, err = call(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("lesion: ")
    assert "Traceback" not in err


def test_numbers_that_no_study_registered_say_so(call):
    arguments = ["patch", *TINY, "--sites", "L0-0.heads"]
    assert document(call, *arguments)["status"] == "exploratory"
    assert "Exploratory: nothing was registered" in call(*arguments)[1]
