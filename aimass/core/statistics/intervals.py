"""Between what bounds a share lies of which some trials were seen."""

from math import sqrt

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % point: 95 % lie within it on both sides


def wilson(hits: float, trials: float, z: float = Z_95) -> tuple[float, float]:
    """The interval of a share of which ``hits`` of ``trials`` were seen; (0, 1) where there were none.

    Its level is kept near 0 and 1 and for few trials, where the normal approximation's is not.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), equation 4.
    """
    if not trials:
        return 0.0, 1.0
    share, part = hits / trials, z * z / trials
    middle = (share + part / 2) / (1 + part)
    half = z * sqrt(share * (1 - share) / trials + part / (4 * trials)) / (1 + part)
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return low, 1.0 if hits == trials else min(1.0, middle + half)
