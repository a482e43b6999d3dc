"""The works that a paper may cite; a paper lists those that its text cites, and no others."""

from typing import NamedTuple

from lesion.errors import InputError, nearest


class Work(NamedTuple):
    """One work."""

    short: str
    """As cited."""
    text: str


WORKS: dict[str, Work] = {
    "cobbe2021": Work(
        "Cobbe et al. 2021",
        "K. Cobbe, V. Kosaraju, M. Bavarian, et al. (2021). Training Verifiers to Solve Math Word Problems."
        " arXiv:2110.14168.",
    ),
    "connor1987": Work(
        "Connor 1987",
        "R. J. Connor (1987). Sample Size for Testing Differences in Proportions for the Paired-Sample Design."
        " Biometrics 43(1), 207–211.",
    ),
    "elhage2021": Work(
        "Elhage et al. 2021",
        "N. Elhage, N. Nanda, C. Olsson, et al. (2021). A Mathematical Framework for Transformer Circuits."
        " Transformer Circuits Thread.",
    ),
    "holm1979": Work(
        "Holm 1979",
        "S. Holm (1979). A Simple Sequentially Rejective Multiple Test Procedure. Scandinavian Journal of Statistics"
        " 6(2), 65–70.",
    ),
    "mcnemar1947": Work(
        "McNemar 1947",
        "Q. McNemar (1947). Note on the Sampling Error of the Difference between Correlated Proportions or Percentages."
        " Psychometrika 12(2), 153–157.",
    ),
    "olsson2022": Work(
        "Olsson et al. 2022",
        "C. Olsson, N. Elhage, N. Nanda, et al. (2022). In-context Learning and Induction Heads. Transformer Circuits"
        " Thread. arXiv:2209.11895.",
    ),
    "schuirmann1987": Work(
        "Schuirmann 1987",
        "D. J. Schuirmann (1987). A Comparison of the Two One-Sided Tests Procedure and the Power Approach for"
        " Assessing the Equivalence of Average Bioavailability. Journal of Pharmacokinetics and Biopharmaceutics"
        " 15(6), 657–680.",
    ),
    "tango1998": Work(
        "Tango 1998",
        "T. Tango (1998). Equivalence Test and Confidence Interval for the Difference in Proportions for the"
        " Paired-Sample Design. Statistics in Medicine 17(8), 891–908.",
    ),
    "wilson1927": Work(
        "Wilson 1927",
        "E. B. Wilson (1927). Probable Inference, the Law of Succession, and Statistical Inference. Journal of the"
        " American Statistical Association 22(158), 209–212.",
    ),
    "zhang2024": Work(
        "Zhang & Nanda 2024",
        "F. Zhang, N. Nanda (2024). Towards Best Practices of Activation Patching in Language Models: Metrics and"
        " Methods. International Conference on Learning Representations. arXiv:2309.16042.",
    ),
    "todd2024": Work(
        "Todd et al. 2024",
        "E. Todd, M. L. Li, A. S. Sharma, et al. (2024). Function Vectors in Large Language Models. ICLR."
        " arXiv:2310.15213.",
    ),
}
"""Key -> work, in the order of the list."""


def short(key: str) -> str:
    """A work as it is cited.

    Raises:
        InputError: for a key that is none.
    """
    if key not in WORKS:
        raise InputError(f"no reference '{key}'; {nearest(key, WORKS)}")
    return WORKS[key].short
