"""Levels of a design that looks several times, so that all its looks together err at alpha.

A study that tests after three seeds, after six and after ten, each time at 5 %, errs in 12 %. Here
each look spends a part of alpha that was set before (Slud & Wei 1982, "Two-sample repeated
significance tests based on the modified Wilcoxon statistic"): the boundary of look k is worked out
from the seeds that looks 1 to k really had, so unequal steps keep alpha too. The parts follow the
spending functions of Lan & DeMets 1983, "Discrete sequential boundaries for clinical trials", at
k/K. A boundary is a two-sided level, which the t interval of each look then uses with its own
degrees of freedom (the significance level approach: Jennison & Turnbull 2000, section 11.2). With
three to ten seeds that alone errs up to 6.0 %, so each level is lowered until simulated t tests
keep to alpha.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import optimize, special

from kvdistill.stats.settings import OBRIEN_FLEMING, POCOCK

NODES = 400
"""Of the quadrature over what may have been seen so far: the levels are good to six digits."""
DRAWS = 100_000
"""Simulated studies: the error over all looks is good to 0.07 points."""
FEWEST_CROSSINGS = 30
"""Simulated crossings below which a look's level is left as worked out."""
WIDEST = 40.0
"""Standard errors beyond which nothing happens."""


def compute_look_levels(
    looks: int, seeds: Sequence[int], alpha: float, spending: str = OBRIEN_FLEMING
) -> list[float]:
    """The two-sided level of each look that was taken.

    Args:
        looks: how many are planned.
        seeds: of each look so far, in their order; each look must have more than the one before.
        alpha: of all looks together.
        spending: obrien_fleming or pocock.

    Returns:
        One a look; of looks beyond the planned ones none, since nothing is left to spend.

    Raises ValueError for a look with fewer than two seeds, or no more than the one before.
    """
    information = tuple(int(count) for count in seeds[:looks])
    if any(b <= max(a, 1) for a, b in zip((1, *information), information, strict=False)):
        raise ValueError(f"each look must have more seeds than the one before, got {information}.")
    spent = [spend_alpha(k / looks, alpha, spending) for k in range(1, len(information) + 1)]
    levels = solve_levels(information, tuple(spent))
    # The t interval of a first look is exact.
    return list(levels if len(levels) == 1 else lower_levels(levels, information, tuple(spent)))


def spend_alpha(share: float, alpha: float, spending: str) -> float:
    """What may be spent by the time that this share of the looks is taken."""
    if spending == POCOCK:
        return float(alpha * np.log1p((np.e - 1) * share))
    # Each side spends alpha / 2 by 2 (1 - Phi(z / sqrt(share))), z being that side's.
    return float(4 * special.ndtr(special.ndtri(alpha / 4) / np.sqrt(share)))


@cache
def solve_levels(information: tuple[int, ...], spent: tuple[float, ...]) -> tuple[float, ...]:
    """The levels, look by look, by recursive integration (Armitage, McPherson & Rowe 1969).

    `spent` is what may be spent in all by the end of each look.
    """
    levels: list[float] = []
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    # The score so far (a sum of normal steps, variance = seeds), where no boundary was crossed.
    values, masses = np.zeros(1), np.ones(1)
    for total, before, all_spent, spent_before in zip(
        information, (0, *information), spent, (0.0, *spent), strict=False
    ):
        step = np.sqrt(total - before)
        critical = solve_boundary(values, masses, step, np.sqrt(total), all_spent - spent_before)
        levels.append(float(2 * special.ndtr(-critical)))
        bound = critical * np.sqrt(total)
        inside = bound * nodes
        distance = (inside[:, None] - values) / step
        density = np.exp(-(distance**2) / 2) @ masses / (step * np.sqrt(2 * np.pi))
        values, masses = inside, density * bound * weights
    return tuple(levels)


@cache
def lower_levels(
    levels: tuple[float, ...], information: tuple[int, ...], spent: tuple[float, ...]
) -> tuple[float, ...]:
    """The levels, each lowered where simulated t tests would have spent more than `spent`."""
    rng = np.random.default_rng(0)  # the same records give the same levels
    total, squares, is_open = np.zeros(DRAWS), np.zeros(DRAWS), np.ones(DRAWS, dtype=bool)
    kept: list[float] = []
    for level, n, before, all_spent in zip(
        levels, information, (0, *information), spent, strict=False
    ):
        new = n - before
        added = np.sqrt(new) * rng.standard_normal(DRAWS)
        # The new values' squares: around their own mean, and that mean's.
        squares += 2 * rng.standard_gamma((new - 1) / 2, DRAWS) + added**2 / new
        total += added
        se = np.sqrt((squares - total**2 / n) / (n - 1) / n)
        p = 2 * special.stdtr(n - 1, -np.abs(total / n) / se)
        allowed = int(all_spent * DRAWS) - int((~is_open).sum())
        if allowed >= FEWEST_CROSSINGS and n > information[0]:
            level = min(level, float(np.partition(p[is_open], allowed - 1)[allowed - 1]))
        is_open &= p > level
        kept.append(level)
    return tuple(kept)


def solve_boundary(
    values: np.ndarray, masses: np.ndarray, step: float, scale: float, spent: float
) -> float:
    """The z beyond which this look's crossing has probability `spent`."""

    def excess(critical: float) -> float:
        bound = critical * scale
        crossing = special.ndtr((values - bound) / step) + special.ndtr((-values - bound) / step)
        return float(crossing @ masses) - spent

    return float(optimize.brentq(excess, 0.0, WIDEST, xtol=1e-12))
