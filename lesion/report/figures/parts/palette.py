"""Colours and marks that tell apart without colour sight, on white and on near-black.

Hues after Okabe & Ito (2008), "Color universal design", and Tol's bright scheme; each has a contrast of at least 3 with
both backgrounds. One colour means one thing in page, figures and paper: orange harms, green improves, blue shows that
there is no effect as large as the margin, violet is the target, grey is random or undecided. Colour never stands alone:
verdicts differ in shape as well, and every series is labelled in words.
"""

TARGET = "#7d5fc0"
"""What was done to the target, where no verdict colours it: violet."""
CONTROL = "#767676"
"""Random sets, the margin, and whatever is not decided: grey."""
SERIES = {"target": TARGET, "control": CONTROL}

VERDICT_COLOURS = {
    "Improvement": "#009e73",
    "Harm": "#d55e00",
    "Null": "#1f7ec2",
    "Mixed": "#9a7b1f",
    "Ambiguous": "#767676",
    "Inconclusive": "#767676",
    "Invalid": "#767676",
}
VERDICT_SHAPES = {
    "Improvement": "triangle-up",
    "Harm": "triangle-down",
    "Null": "circle",
    "Mixed": "diamond",
    "Ambiguous": "square",
    "Inconclusive": "square",
    "Invalid": "cross",
}
VERDICT_SIGNS = {
    "Improvement": "▲",
    "Harm": "▼",
    "Null": "●",
    "Mixed": "◆",
    "Ambiguous": "■",
    "Inconclusive": "■",
    "Invalid": "✚",
}
"""The shapes as characters, for tables and Markdown."""

FONT = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif"
INK, FAINT, PAPER = "#1b1f24", "#d5d9de", "#ffffff"
"""Text, grid and background of exported pictures; the page takes its own from its style sheet."""

SEQUENTIAL = ["#f2f6fa", "#08519c"]
"""Shares from 0 to 1."""
DIVERGING = ["#d55e00", "#f4f4f4", "#009e73"]
"""Losses, nothing, gains: the colours of Harm and Improvement."""
