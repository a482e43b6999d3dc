"""The stability of a set of heads or neurons, in words."""

from lesion.stats.stability import FLOOR, Stability


def words(found: Stability | None) -> str:
    """`stable: Jaccard 0.93 (0.75 to 1.00) over 24 resampled sequences; second draw 1.00`."""
    if found is None:
        return "–"
    parts = [
        f"Jaccard {found.jaccard:.2f} ({found.low:.2f} to {found.high:.2f}) over {found.units} resampled {found.over}"
    ]
    one = "word map" if found.over == "word maps" else "template"
    if found.left_out:
        worst = min(found.left_out, key=lambda name: found.left_out[name])
        parts.append(f"least with one {one} left out {found.left_out[worst]:.2f} ({worst})")
    if found.again is not None:
        parts.append(f"second draw {found.again:.2f}")
    return f"{'stable' if found.stable else f'NOT STABLE (below {FLOOR:g})'}: {'; '.join(parts)}"
