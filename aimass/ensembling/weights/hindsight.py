"""The best fixed shares, once everything is known: what a learner is measured against."""

from itertools import combinations

import numpy as np

from aimass.core.batch import Array
from aimass.ensembling.weights.learner import check

TOO_MANY = 12  # members: every subset of them is tried


def best_shares(members: Array, right: Array) -> tuple[Array, float]:
    """The shares with the least squared loss over all rows, and that loss; arguments as for ``learner.learn``.

    The loss is a quadratic form of the shares, so its least value over the simplex lies where some members have none
    and the gradient over the others is level: each set of others is solved for, which is exact.
    """
    check(members, right)
    count = members.shape[1]
    if count > TOO_MANY:
        raise ValueError(f"{count} members have too many subsets")
    wide = members.astype(np.float64)
    gram = np.einsum("ric,rjc->ij", wide, wide)
    hits = wide[np.arange(len(right)), :, right].sum(axis=0)
    best, least = np.full(count, 1 / count), np.inf
    for size in range(1, count + 1):
        for chosen in combinations(range(count), size):
            shares = _level(gram, hits, chosen)
            loss = float(shares @ gram @ shares - 2 * hits @ shares + len(right))
            if shares.min() >= 0 and loss < least:
                best, least = shares, loss
    return best, max(0.0, least)


def _level(gram: Array, hits: Array, chosen: tuple[int, ...]) -> Array:
    """Shares of the chosen with a sum of 1 and equal gradients (Lagrange); they may be negative. Members that say the
    same have many solutions; any does."""
    index = np.array(chosen)
    size = len(index)
    system = np.ones((size + 1, size + 1))
    system[:size, :size] = 2 * gram[np.ix_(index, index)]
    system[size, size] = 0
    solution = np.linalg.lstsq(system, np.append(2 * hits[index], 1.0), rcond=None)[0]
    shares = np.zeros(len(hits))
    shares[index] = solution[:size]
    return shares
