"""The pairs that no embedded model was trained on: a third of all operand pairs, each with its commuted twin."""

from hashlib import blake2b


def held_out(operator: str, *operands: int) -> bool:
    """Whether the trainer leaves this problem out: a third of all, the same for every order of the operands.

    The rule is a hash, so it needs no list and holds for any range: BLAKE2b of `operator:smallest:…:largest` modulo 3.

    >>> held_out("+", 3, 8) == held_out("+", 8, 3)
    True
    """
    text = ":".join([operator, *map(str, sorted(operands))])
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big") % 3 == 0
