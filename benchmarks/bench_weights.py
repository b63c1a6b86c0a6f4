"""The weight learner on a stream that changes: its regret against the best fixed weights, under its bound.

    python -m benchmarks.bench_weights

Three real classifiers of handwritten digits, each trained with some classes left out, so each is good at times: which
digits come changes twice. Nothing here is timed. Writes benchmarks/results/weights.png.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from aimass.core.batch import Array
from aimass.ensembling.weights.hindsight import best_shares
from aimass.ensembling.weights.learner import learn, losses_of

PICTURE = Path(__file__).parent / "results" / "weights.png"
ROWS = 6000
CHANGES = (2000, 4000)
KNOWN = ((0, 1, 2, 3, 4), (3, 4, 5, 6), (6, 7, 8, 9))  # digits that each member was trained on
LOOKS = 60
COLOURS = ("#0f7b6c", "#c8641b", "#4263eb")
GREY = "#555555"


def stream(seed: int = 7) -> tuple[Array, Array]:
    """Members' probabilities [rows, members, classes] and the right digits: mostly of one member's kind at a time."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(seed)
    digits = load_digits()
    train = random.random(len(digits.target)) < 0.5
    chosen = np.empty(ROWS, np.int64)
    held = np.flatnonzero(~train)
    for start, end, known in zip((0, *CHANGES), (*CHANGES, ROWS), KNOWN, strict=True):
        kind = np.isin(digits.target[held], known)
        share = np.where(kind, 0.85 / kind.sum(), 0.15 / (~kind).sum())
        chosen[start:end] = random.choice(held, end - start, p=share)
    members = np.full((ROWS, len(KNOWN), 10), 1e-9)
    for place, known in enumerate(KNOWN):
        mine = train & np.isin(digits.target, known)
        model = LogisticRegression(max_iter=2000).fit(digits.data[mine], digits.target[mine])
        members[:, place, model.classes_] = model.predict_proba(digits.data[chosen])
    return members / members.sum(axis=2, keepdims=True), digits.target[chosen]


def measure() -> dict[str, Any]:
    """Regret, bound and shares along the stream."""
    members, right = stream()
    learnt = learn(members, right)
    looks = np.unique(np.linspace(20, ROWS, LOOKS).astype(int))
    least = np.array([best_shares(members[:rows], right[:rows])[1] for rows in looks])
    even = losses_of(np.full(len(KNOWN), 1 / len(KNOWN)), members, right).cumsum()
    learner = learnt.losses.cumsum()
    return {
        "looks": looks,
        "regret": learner[looks - 1] - least,
        "even": even[looks - 1] - least,
        "bound": learnt.bound[looks - 1],
        "shares": learnt.shares[:-1],
        "losses": (learner[-1] / ROWS, even[-1] / ROWS, least[-1] / ROWS),
    }


def draw(found: dict[str, Any], path: Path) -> None:
    """The picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(1, 2, figsize=(12, 4))
    above.plot(found["looks"], found["bound"], color=GREY, linestyle="--", label="bound: 4 √(T ln 3)")
    above.plot(found["looks"], found["even"], color=COLOURS[1], label="equal weights")
    above.plot(found["looks"], found["regret"], color=COLOURS[0], label="exponentiated gradient")
    above.axhline(0, color=GREY, linewidth=0.8)
    above.set(title="regret against the best fixed weights so far", xlabel="labels", ylabel="sum of Brier losses")
    for place, known in enumerate(KNOWN):
        name = f"trained on {known[0]} to {known[-1]}"
        below.plot(found["shares"][:, place], color=COLOURS[place], label=name)
    below.set(title="weights", xlabel="labels", ylim=(0, 1))
    for axis in (above, below):
        for change in CHANGES:
            axis.axvline(change, color=GREY, linewidth=0.8, linestyle=":")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8)
    figure.suptitle("Three digit classifiers, other digits from the dotted lines on", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> int:
    """1 if the bound is broken."""
    found = measure()
    draw(found, PICTURE)
    learner, even, least = found["losses"]
    print(f"mean Brier loss over {ROWS:,} rows: {learner:.4f} learning, {even:.4f} equal, {least:.4f} best fixed")
    print(f"regret {found['regret'][-1]:.1f}, at most {found['bound'][-1]:.1f}; {PICTURE}")
    return int(bool((found["regret"] > found["bound"]).any()))


if __name__ == "__main__":
    sys.exit(main())
