"""A referee's count of a publication: its rows read with pandas, judged by the rule written a second time.

Nothing here imports lesion. `rule` is written from docs/verdict.md with scipy and statsmodels; tests compare it
with our own on simulated cells. `python -m publications.referee FOLDER` writes review.json and review.md there.
"""
