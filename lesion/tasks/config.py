"""The configuration formats of the tasks: what a study writes under `tasks:`. Pure data."""

import re
from typing import Annotated, Literal, Self, TypeVar, get_args

from pydantic import BeforeValidator, Field, model_validator

from lesion.identity import Document

Operator = Literal["+", "-", "*"]
Format = Literal["compact", "equation", "question", "chat", "words", "spaced_digits", "reversed_digits"]
Written = Annotated[Format, BeforeValidator(lambda given: "equation" if given == "spaced" else given)]
"""A format; studies that were written earlier call `equation` `spaced`, as symbols still do."""
Pattern = Literal["repeat", "copy", "reverse", "abab", "aab"]
NameOrder = Literal["ABBA", "BABA"]
LetterPattern = Literal["repetition", "recursion", "centre_embedding"]
Label = Annotated[str, Field(pattern=r"^[A-Za-z]{1,20}$")]
Alphabet = Literal["standard", "permuted"]
Solution = Literal["direct", "worked"]
Changed = Literal["either", "first", "second"]
Form = Literal[
    "a+b+c", "a+b-c", "a-b+c", "a-b-c", "a+b-c+d",
    "a+b*c", "a*b+c", "a*b-c", "a-b*c",
    "(a+b)*c", "a*(b-c)", "a-(b-c)", "(a+b)-(c-d)",
]  # fmt: skip
Template = Literal[
    "apples", "bus", "boxes", "savings", "garden", "pages", "tickets", "marbles", "bakery", "train", "library", "walk",
]  # fmt: skip


class ArithmeticConfig(Document):
    """`a + b =`, `a - b =` and `a * b =`; negative differences are written `-7`."""

    task: Literal["arithmetic"] = "arithmetic"
    operators: tuple[Operator, ...] = Field(default=("+", "-"), min_length=1)
    """Operators. Every operand pair is asked with each."""
    low: int = Field(default=0, ge=0, le=10**9)
    """Smallest value of both operands of sums and differences."""
    high: int = Field(default=99, ge=0, le=10**9)
    """Largest value of both operands of sums and differences."""
    factor_low: int = Field(default=1, ge=1, le=10**9)
    """Smallest factor of a product. 0 is excluded: a product with 0 has no counterfactual with an answer of equal
    length."""
    factor_high: int = Field(default=99, ge=1, le=10**9)
    """Largest factor of a product."""
    beyond: int | None = Field(default=None, ge=0, le=10**9)
    """Out-of-range test: exactly one operand lies above `high` (`factor_high`), up to this value."""
    format: Written = "compact"
    """Notation. `compact`: `12+34=46;`. `equation`: `12 + 34 = 46`, one a line. `question`: `Q: What is 12 + 34?`, then
    `A: 46`. `chat`: each example and the question a turn of the model's chat template. `words`: `twelve plus
    thirty-four equals forty-six`. `spaced_digits`: `1 2 + 3 4 = 4 6`. `reversed_digits`: the answer `64;`. Commands
    default to `equation` if the model's vocabulary has a space."""
    shots: int = Field(default=2, ge=0, le=32)
    """Number of few-shot examples before a question."""
    twin: Changed = Field(default="either", exclude_if=lambda which: which == "either")
    """Number that the corrupted prompt changes: `first`, `second`, or `either` of the two, drawn for each item.
    Patching and screens compare with that prompt; the clean prompts are the same."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.low:
            raise ValueError(f"high ({self.high}) lies below low ({self.low})")
        if self.factor_high < self.factor_low:
            raise ValueError(f"factor_high ({self.factor_high}) lies below factor_low ({self.factor_low})")
        if len(set(self.operators)) < len(self.operators):
            raise ValueError("an operator is listed twice")
        highest = max(self.bounds(operator)[1] for operator in self.operators)
        if self.beyond is not None and self.beyond <= highest:
            raise ValueError(f"beyond ({self.beyond}) must lie above the operands' range, which ends at {highest}")
        return self

    def bounds(self, operator: Operator) -> tuple[int, int]:
        """Smallest and largest operand of an operator, `beyond` apart."""
        return (self.factor_low, self.factor_high) if operator == "*" else (self.low, self.high)


class SymbolicConfig(Document):
    """Symbol patterns that continue: a repeated random block, copies, reversals, ABAB and AAB."""

    task: Literal["symbolic"] = "symbolic"
    patterns: tuple[Pattern, ...] = Field(default=("repeat",), min_length=1)
    """Patterns, in equal shares."""
    shortest: int = Field(default=6, ge=2, le=16)
    """Fewest symbols in a block; for `abab` and `aab`: symbols shown after the first unit."""
    longest: int = Field(default=16, ge=2, le=16)
    """Most symbols in a block, or after the first unit."""
    format: Literal["compact", "spaced"] = "compact"
    """Symbols side by side, or with a space between."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.longest < self.shortest:
            raise ValueError(f"longest ({self.longest}) lies below shortest ({self.shortest})")
        if len(set(self.patterns)) < len(self.patterns):
            raise ValueError("a pattern is listed twice")
        return self


class AnalogyConfig(Document):
    """`abc>de` asks for `f;`: the second run of letters continues like the first, also in a shuffled alphabet."""

    task: Literal["analogy"] = "analogy"
    alphabets: tuple[Alphabet, ...] = Field(default=("standard", "permuted"), min_length=1)
    """Alphabets in equal shares. A permuted one is shown before the question: `qxjb…;qxj>lm`."""
    letters: int = Field(default=26, ge=8, le=26)
    """Letters in the alphabet."""
    run: int = Field(default=3, ge=2, le=4)
    """Letters in a run."""
    steps: tuple[Annotated[int, Field(ge=1, le=2)], ...] = Field(default=(1,), min_length=1)
    """Distances in the alphabet between neighbours of a run, in equal shares."""
    show_standard: bool = False
    """Show the standard alphabet before the question too."""
    format: Literal["compact", "spaced"] = "compact"
    """Letters side by side, or with a space between."""

    @model_validator(mode="after")
    def _different(self) -> Self:
        if len(set(self.alphabets)) < len(self.alphabets) or len(set(self.steps)) < len(self.steps):
            raise ValueError("an alphabet or a step is listed twice")
        return self


class MultistepConfig(Document):
    """Several operations: chains, precedence, brackets. No result is negative."""

    task: Literal["multistep"] = "multistep"
    forms: tuple[Form, ...] = Field(default=("a+b-c",), min_length=1)
    """Shapes of the expression, in equal shares."""
    low: int = Field(default=0, ge=0, le=999)
    """Smallest operand of sums and differences."""
    high: int = Field(default=49, ge=0, le=999)
    """Largest operand of sums and differences."""
    factor_low: int = Field(default=2, ge=1, le=999)
    """Smallest operand of `*`."""
    factor_high: int = Field(default=9, ge=1, le=999)
    """Largest operand of `*`."""
    format: Written = "compact"
    """How a problem is written, as in arithmetic."""
    solution: Solution = "direct"
    """`direct`: the answer at once, `46;`. `worked`: the rest after each step, `15*4=60;`. The items are the same."""
    shots: int = Field(default=2, ge=0, le=32)
    """Number of few-shot examples before a question."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.low or self.factor_high < self.factor_low:
            raise ValueError("high lies below low, or factor_high below factor_low")
        if len(set(self.forms)) < len(self.forms):
            raise ValueError("a form is listed twice")
        widest = max(self.high - self.low, self.factor_high - self.factor_low) + 1
        for form in self.forms:
            if widest ** (sum(map(str.isalpha, form)) - 1) > 10**6:
                raise ValueError(f"the operands' range is too wide to count the problems of {form}")
        return self


class WordProblemsConfig(Document):
    """Short stories with names and numbers varied; the template is the cluster of the analysis."""

    task: Literal["word_problems"] = "word_problems"
    templates: tuple[Template, ...] = Field(default=get_args(Template), min_length=1)
    """Templates in equal shares. Results with fewer than six hold for these templates only."""
    low: int = Field(default=2, ge=2, le=99)
    """Smallest quantity."""
    high: int = Field(default=60, ge=2, le=99)
    """Largest quantity. Numbers of groups are 2 to 9."""
    distractor: bool = False
    """Add a sentence with an irrelevant number (as in GSM-NoOp)."""
    solution: Solution = "direct"
    """`direct`: the answer at once. `worked`: the steps, then `#### 46`. The items are the same."""
    shots: int = Field(default=2, ge=0, le=16)
    """Number of few-shot examples before a question."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.low:
            raise ValueError(f"high ({self.high}) lies below low ({self.low})")
        if len(set(self.templates)) < len(self.templates):
            raise ValueError("a template is listed twice")
        return self


class Gsm8kConfig(Document):
    """GSM8K (Cobbe et al. 2021) from its JSONL or Parquet: problems with `question` and `answer`."""

    task: Literal["gsm8k"] = "gsm8k"
    path: str = Field(min_length=1, max_length=1000)
    """Local file. With `hub`: the file's path in that data set."""
    hub: str | None = Field(default=None, max_length=200, exclude_if=lambda name: name is None)
    """Data set of the Hugging Face hub at a pinned commit, `org/name@0123…4567`. It needs `sha256`."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Hash of the file. Another file is refused."""
    solution: Solution = "direct"
    """`direct`: the answer at once. `worked`: the reference solution, then `#### 18`. The items are the same."""
    shots: int = Field(default=2, ge=0, le=16)
    """Number of few-shot examples before a question."""

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        return _with_pins(self)


class PromptFileConfig(Document):
    """Your own prompts and answers from a CSV, JSONL or Parquet file, optionally with corrupted prompts and roles."""

    task: Literal["file"] = "file"
    path: str = Field(min_length=1, max_length=1000)
    """Local file: .csv, .jsonl or .parquet. With `hub`: the file's path in that data set."""
    hub: str | None = Field(default=None, max_length=200)
    """Data set of the Hugging Face hub at a pinned commit, `org/name@0123…4567`. It needs `sha256`."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Hash of the file. Another file is refused. A study needs it."""
    columns: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(default=(), max_length=64)
    """Columns to read; `prompt:COLUMN` where the file has another name. Default: all, and an unknown one is refused."""
    strata: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], ...] = Field(default=(), max_length=8)
    """Further columns whose values are strata (buckets) of the items."""
    space: bool = False
    """Put a space before every answer. Needed where a prompt ends with a letter or digit and answers have no space."""
    discovery: float = Field(default=0.4, gt=0, lt=1)
    """Share of the prompts for discovery. The hash of a prompt's text decides, so a prompt has the same part in every
    file."""
    tokenizer: str | None = Field(default=None, min_length=1, max_length=1000)
    """tokenizer.json (or its folder) that the token ids of `correct_idx` and `incorrect_idx` belong to."""

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if len(set(self.strata)) < len(self.strata):
            raise ValueError("a stratum is listed twice")
        if taken := set(self.strata) & {"template", "prefix"}:
            raise ValueError(f"a stratum cannot be called {min(taken)}: that is the cluster; name the column `group`")
        return _with_pins(self)


Pinned = TypeVar("Pinned", Gsm8kConfig, PromptFileConfig)


def _with_pins(config: Pinned) -> Pinned:
    """A configuration whose file of the hub, if it names one, is pinned by commit and hash."""
    if config.hub is None:
        return config
    if not re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", config.hub):
        raise ValueError(
            f"hub '{config.hub}' is not pinned to a commit: write org/name@0123…4567 (40 hexadecimal digits, from "
            "the data set's history); branches and tags move"
        )
    if config.sha256 is None:
        raise ValueError(f"a file of the hub needs its hash too: give the sha256 of {config.path}")
    return config


class IoiConfig(Document):
    """Indirect object identification (Wang et al. 2022): two names, one acts, the other is the answer."""

    task: Literal["ioi"] = "ioi"
    orders: tuple[NameOrder, ...] = Field(default=("ABBA", "BABA"), min_length=1)
    """Orders of the first two names, in equal shares. ABBA: the indirect object first."""
    corruption: Literal["abc", "s2_io", "s1_io"] = "abc"
    """Corrupted prompt. `abc`: three other names. `s2_io`: the acting person is the other one, so the answers change
    places. `s1_io`: the first two names change places."""

    @model_validator(mode="after")
    def _different(self) -> Self:
        if len(set(self.orders)) < len(self.orders):
            raise ValueError("an order is listed twice")
        return self


class GreaterThanConfig(Document):
    """Greater-than (Hanna et al. 2023): `The war lasted from the year 1732 to the year 17`, then a year above 32."""

    task: Literal["greater_than"] = "greater_than"
    first_century: int = Field(default=11, ge=10, le=20)
    """First two digits of the earliest year. The paper has 11 to 17, in equal shares."""
    last_century: int = Field(default=17, ge=10, le=20)
    """First two digits of the latest year."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.last_century < self.first_century:
            raise ValueError(f"last_century ({self.last_century}) lies below first_century ({self.first_century})")
        return self


class LetterPatternsConfig(Document):
    """Letter patterns (Crosbie & Shutova 2024): label a sequence Foo if it keeps a pattern, else Bar, from examples."""

    task: Literal["letter_patterns"] = "letter_patterns"
    pattern: LetterPattern = "repetition"
    """`repetition` A B A B, `recursion` A B B B, `centre_embedding` A B C B A."""
    labels: tuple[Label, ...] = Field(default=("Foo", "Bar"), min_length=2, max_length=2)
    """Labels of sequences that keep the pattern and of random ones. They need equally many tokens."""
    shots: int = Field(default=10, ge=2, le=32)
    """Number of labelled examples, half of each class. The paper has 5 and 10."""

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.labels[0] == self.labels[1]:
            raise ValueError("the two labels must differ")
        return self


class OwnConfig(Document):
    """Your own task: a Python file with a function that makes it. See examples/own_task.py."""

    task: Literal["own"] = "own"
    file: str = Field(min_length=1, max_length=1000)
    """The Python file. Its code runs, so read it first."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Hash of the file. Another file is refused."""
    maker: str = Field(default="make", pattern=r"^[A-Za-z_]\w*$")
    """The function that takes `parameters` as keywords and returns the task."""
    parameters: dict[str, bool | int | float | str] = {}
    """Keyword arguments of the function."""


TaskConfig = Annotated[
    ArithmeticConfig
    | SymbolicConfig
    | AnalogyConfig
    | MultistepConfig
    | WordProblemsConfig
    | Gsm8kConfig
    | PromptFileConfig
    | IoiConfig
    | GreaterThanConfig
    | LetterPatternsConfig
    | OwnConfig,
    Field(discriminator="task"),
]
