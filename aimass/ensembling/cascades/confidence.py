"""How sure a model is of its answer: its largest probability, calibrated by one number, the temperature.

Source of both: C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
"""

import math

import numpy as np

from aimass.core.batch import Array

COLDEST, HOTTEST = 0.05, 20.0
_SMALLEST = float(np.finfo(np.float32).eps)  # a probability of 0 has no logarithm; as log loss clips it


def confidence(probabilities: Array, temperature: float) -> Array:
    """Each row's largest probability p after temperature scaling: the largest of p^(1/T) / sum(p^(1/T)).

    FP32 [rows, classes] → FP32 [rows]. The same as dividing logits by T. At T = 1 the largest probability itself.
    """
    largest: Array = probabilities.max(axis=1)
    if temperature == 1:
        return largest
    with np.errstate(all="ignore"):  # rows of zeros or of no numbers give no number
        scaled: Array = np.power(probabilities / largest[:, None], np.float32(1 / temperature))
        sure: Array = np.float32(1) / scaled.sum(axis=1)
    return sure


def fit_temperature(probabilities: Array, labels: Array) -> float:
    """The temperature at which the labels are least surprising (mean negative log-likelihood), to four digits.

    FP32 [rows, classes] that the model gave for rows it has not seen, INT64 [rows]. In 1/T the mean is convex: its
    slope, what logarithm is expected minus what was found, is brought to zero by halving, from COLDEST to HOTTEST.
    """
    logs = np.log(np.clip(probabilities.astype(np.float64), _SMALLEST, 1.0))
    found = float(logs[np.arange(len(labels)), labels].mean())
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(50):
        middle = math.sqrt(low * high)
        if _expected(logs, middle) < found:
            low = middle
        else:
            high = middle
    return float(f"{1 / low:.4g}")


def _expected(logs: Array, power: float) -> float:
    shares = np.exp(power * (logs - logs.max(axis=1, keepdims=True)))
    return float(((shares * logs).sum(axis=1) / shares.sum(axis=1)).mean())
