"""Failed checks are a sentence while they are few, and a table of loud sets where they are many."""

from lesion.report.wording.checks import loud_table, told_note
from lesion.study.gates.checks import Check
from lesion.study.plan import PlanNote
from tests.study.made import gate


def loud(manifest, count: int):
    """The manifest as if so many random sets had been loud, and the note that its plan would hold."""
    checks = [
        Check("control quietness", f"zoo:abacus-llama, tier{1 + i % 2}, control{i % 3}@{i / 4:g}",
              "Fail" if i < count else "Pass", f"-{i}.5 points [-9.0, -3.1], margin 3", blocks=False)
        for i in range(12)
    ]  # fmt: skip
    text = "; ".join(f"{c.about}: {c.said}" for c in checks if c.outcome == "Fail") + "."
    note = PlanNote(topic="control-quietness", text=text)
    return manifest.model_copy(update={"gates": (gate("discovery", checks=checks),)}), note


def test_few_failed_checks_are_told_whole(manifest):
    few, note = loud(manifest, 2)
    assert told_note(few, note) == f"control-quietness: {note.text}"
    assert not loud_table(few).rows


def test_many_are_counted_and_stand_in_a_table_set_by_factor(manifest):
    many, note = loud(manifest, 8)
    assert told_note(many, note).startswith("control-quietness: 8 of 12 edits of matched random sets moved accuracy")
    table = loud_table(many)
    cells = [cell for row in table.rows for cell in row[3:] if cell != "–"]
    assert len(cells) == 8
    assert "−5.5 [−9.0, −3.1]" in cells
    assert table.columns[3] == "×0"


def test_loud_sets_of_every_stage_stand_in_the_table(manifest):
    many, _ = loud(manifest, 8)
    later = many.gates[0].model_copy(update={"stage": "transfer"})
    table = loud_table(manifest.model_copy(update={"gates": (*many.gates, later)}))
    assert len([cell for row in table.rows for cell in row[3:] if cell != "–"]) == 16


def test_other_notes_stay_as_they_are(manifest):
    note = PlanNote(topic="second-look", text="Ambiguous at the first look.")
    assert told_note(manifest, note) == "second-look: Ambiguous at the first look."
