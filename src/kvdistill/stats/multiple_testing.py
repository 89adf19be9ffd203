"""Many comparisons at once: Holm for the arms of one question, Benjamini-Hochberg for the rest."""

from collections.abc import Callable, Sequence

import numpy as np


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Step-down adjusted p values, family-wise error (Holm 1979).

    None stays None and counts as no test.
    """
    return adjust_known(p_values, _step_down)


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Step-up adjusted p values, false discovery rate (Benjamini and Hochberg 1995).

    None stays None and counts as no test.
    """
    return adjust_known(p_values, _step_up)


def adjust_known(
    p_values: Sequence[float | None], adjust: Callable[[np.ndarray], np.ndarray]
) -> list[float | None]:
    """Adjusts the known p values among themselves. Raises ValueError outside [0, 1]."""
    positions = [i for i, p in enumerate(p_values) if p is not None and not np.isnan(p)]
    known = np.array([p_values[i] for i in positions], dtype=float)
    if known.size and not (known.min() >= 0 and known.max() <= 1):
        raise ValueError("p values must be in [0, 1].")
    adjusted: list[float | None] = [None] * len(p_values)
    for i, value in zip(positions, adjust(known), strict=True):
        adjusted[i] = float(value)
    return adjusted


def _step_down(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def _step_up(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p, kind="stable")[::-1]
    stepped = np.minimum.accumulate(p[order] * len(p) / np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
