"""The word problems' templates: a form of arithmetic, and a text in which its letters are numbers.

In a text, `{a}` … `{d}` are the form's operands, `{name}`, `{other}` two people, `{thing}` what is counted. The texts
are our own, in the manner of GSM-Symbolic (Mirzadeh et al. 2024). No form here is negative on the way.
"""

from typing import NamedTuple

from lesion.tasks.config import Template


class Story(NamedTuple):
    """One template."""

    form: str
    groups: str
    """Letters that count groups, 2 … 9; the others are quantities."""
    text: str
    ask: str


NAMES = (
    "Ada", "Ben", "Chloe", "David", "Emma", "Felix", "Grace", "Henry", "Iris", "Jonas", "Kira", "Leo",
    "Maya", "Noah", "Olga", "Paul", "Quinn", "Rosa", "Samir", "Tara", "Uma", "Victor", "Wanda", "Yusuf",
)  # fmt: skip

THINGS = ("apples", "pens", "shells", "coins", "cards", "stamps", "buttons", "stickers")

DISTRACTORS = (
    "There are {x} chairs in the room.",
    "The day before, {x} birds sat on the roof.",
    "{other} is {x} years old.",
    "A street nearby has {x} lamps.",
)
"""Sentences with a number that does not matter."""

STORIES: dict[Template, Story] = {
    "apples": Story(
        "a+b-c",
        "",
        "{name} has {a} {thing}. {other} brings {b} more. Then {name} gives away {c} of them.",
        "How many {thing} does {name} have now?",
    ),
    "bus": Story(
        "a-b-c",
        "",
        "A bus leaves with {a} people. At the first stop {b} get off, and at the second stop {c} get off.",
        "How many people are still on the bus?",
    ),
    "boxes": Story(
        "a*b+c",
        "a",
        "{name} fills {a} boxes with {b} {thing} each and has {c} {thing} left over.",
        "How many {thing} does {name} have in all?",
    ),
    "savings": Story(
        "a*b-c",
        "a",
        "For {a} weeks {name} saves {b} dollars a week, and then spends {c} dollars.",
        "How many dollars does {name} have left?",
    ),
    "garden": Story(
        "(a+b)*c",
        "c",
        "In every row of a garden stand {a} tulips and {b} roses. There are {c} rows.",
        "How many flowers stand in the garden?",
    ),
    "pages": Story(
        "a-b*c",
        "b",
        "A book has {a} pages. On each of {b} days {name} reads {c} pages.",
        "How many pages are left to read?",
    ),
    "tickets": Story(
        "a+b*c",
        "b",
        "{name} pays {a} dollars for parking and buys {b} tickets for {c} dollars each.",
        "How many dollars does {name} pay in all?",
    ),
    "marbles": Story(
        "a+b+c",
        "",
        "{name} has {a} red marbles, {b} blue ones and {c} green ones.",
        "How many marbles does {name} have?",
    ),
    "bakery": Story(
        "a*(b-c)",
        "a",
        "A bakery bakes {a} trays of {b} rolls each. On every tray {c} rolls are burnt.",
        "How many rolls are not burnt?",
    ),
    "train": Story(
        "a+b+c-d",
        "",
        "A train carries {a} people. At three stops {b} get on, then {c} get on, and then {d} get off.",
        "How many people does the train carry now?",
    ),
    "library": Story(
        "a*b-c",
        "a",
        "A library has {a} shelves with {b} books each. Readers borrow {c} books.",
        "How many books are left on the shelves?",
    ),
    "walk": Story(
        "a*b+c",
        "a",
        "On each of {a} days {name} walks for {b} minutes, and on Sunday for {c} minutes.",
        "For how many minutes does {name} walk in all?",
    ),
}
