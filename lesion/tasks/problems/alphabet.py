"""The characters that the project's own tasks are written in; the embedded models' vocabulary is made of them."""

SYMBOLS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRS"
"""45 letters, the symbols of the pattern tasks."""

DIGITS = "0123456789"

END = ";"
"""Ends an answer."""

COPY = ">"
"""`abc>` asks for `abc;`."""

REVERSE = "<"
"""`abc<` asks for `cba;`."""

MARKS = "=+-*()" + END + COPY + REVERSE
"""Operators, equals sign, brackets, end mark, copy and reverse marks."""
