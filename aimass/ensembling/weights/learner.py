"""Exponentiated gradient over the shares of an ensemble's members, with the squared (Brier) loss.

J. Kivinen and M. Warmuth, 1997, Exponentiated gradient versus gradient descent for linear predictors, Information and
Computation 132; with a rate that falls as in N. Cesa-Bianchi and G. Lugosi, 2006, Prediction, Learning, and Games,
section 2.3. Knows no files, no services.
"""

import math
from dataclasses import dataclass

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Invalid

RANGE = 4.0  # by which members' gradients can differ: 2 <p_i, p - e>, where p - e lies between -1 and 1
MIXED = 0.1  # of the prior is spread evenly, so that a member without a share can come back


@dataclass(frozen=True)
class Learnt:
    """``shares[t]`` were used for row t, and ``shares[-1]`` are what all rows led to; losses are those of each row."""

    shares: Array  # FP64 [rows + 1, members]
    losses: Array  # FP64 [rows]
    bound: Array  # FP64 [rows]: what the regret after each row is at most

    @property
    def final(self) -> tuple[float, ...]:
        return tuple(float(share) for share in self.shares[-1])


def learn(members: Array, right: Array, prior: tuple[float, ...] | None = None) -> Learnt:
    """``members``: probabilities [rows, members, classes]; ``right``: the index of each row's class. The rows count in
    their order. ``prior``: weights to begin from; equal ones unless given.

    After T rows the learner's loss is above that of the best fixed shares by at most ``RANGE * sqrt(T * k)``, where k
    is the logarithm of one over the smallest share of the prior, whatever the rows were: with rates
    2 sqrt(k / t) / RANGE the sum of Hoeffding's terms and the relative entropy at the last rate come to just that.
    """
    check(members, right)
    rows, count, classes = members.shape
    start = _prior(prior, count)
    k = math.log(1 / start.min()) if count > 1 else 0.0
    times = np.arange(1, rows + 1)
    rates = 2 * np.sqrt(k / times) / RANGE
    shares = np.empty((rows + 1, count))
    losses = np.empty(rows)
    total = np.zeros(count)  # of the gradients
    log_start, truth = np.log(start), np.eye(classes)
    shares[0] = start
    for row in range(rows):
        probabilities = members[row].astype(np.float64)
        error = shares[row] @ probabilities - truth[right[row]]
        losses[row] = error @ error
        total += 2 * (probabilities @ error)
        shares[row + 1] = _normed(log_start - rates[min(row + 1, rows - 1)] * total)
    return Learnt(shares, losses, RANGE * np.sqrt(k * times))


def losses_of(shares: Array, members: Array, right: Array) -> Array:
    """The loss of each row under fixed shares."""
    error = np.einsum("m,rmc->rc", np.asarray(shares, np.float64), members) - np.eye(members.shape[2])[right]
    return np.asarray((error * error).sum(axis=1))


def check(members: Array, right: Array) -> None:
    """``Invalid`` unless these are rows of probabilities and classes of theirs."""
    if members.ndim != 3 or 0 in members.shape or right.shape != members.shape[:1]:
        raise Invalid(f"members must be [rows, members, classes] with a class for each row, not {list(members.shape)}")
    if not np.isfinite(members).all() or members.min() < -1e-6 or abs(members.sum(axis=2) - 1).max() > 1e-3:
        raise Invalid("members must give probabilities: no less than 0, a sum of 1 in each row")
    if right.min() < 0 or right.max() >= members.shape[2]:
        raise Invalid(f"classes must be from 0 to {members.shape[2] - 1}")


def _prior(weights: tuple[float, ...] | None, count: int) -> Array:
    even = np.full(count, 1 / count)
    if weights is None:
        return even
    if len(weights) != count:
        raise Invalid(f"{len(weights)} weights for {count} members; give one for each", field="weights")
    given = np.asarray(weights, np.float64)
    return np.asarray((1 - MIXED) * given / given.sum() + MIXED * even)


def _normed(logarithms: Array) -> Array:
    weights = np.exp(logarithms - logarithms.max())
    return np.asarray(weights / weights.sum())
