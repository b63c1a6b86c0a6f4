"""Search spaces: what may be written, and what Optuna makes of it."""

from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from aimass.core.errors import Invalid
from aimass.training.space import Choice, Fixed, Range, Space, distributions, fixed_parameters, parse_domain


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (3, Fixed(3)),
        (None, Fixed(None)),
        ("sqrt", Fixed("sqrt")),
        (["sqrt", 0.5, None, True], Choice(("sqrt", 0.5, None, True))),
        ({"from": 1, "to": 9}, Range(1, 9)),
        ({"from": 0.1, "to": 9, "scale": "log"}, Range(0.1, 9, log=True)),
        ({"from": 1, "to": 2, "scale": "linear"}, Range(1, 2)),
    ],
)
def test_what_may_be_written(written: Any, meant: Any) -> None:
    assert parse_domain(written) == meant


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([], "at least one"),
        ([[1]], "at least one"),
        ({"from": 1}, "None"),
        ({"from": "1e-3", "to": 1}, "1e-3"),
        ({"from": True, "to": 2}, "True"),
        ({"from": float("nan"), "to": 2}, "nan"),
        ({"from": 2, "to": 2}, "not below"),
        ({"from": 0, "to": 2, "scale": "log"}, "above 0"),
        ({"from": 1, "to": 2, "scale": "cubic"}, "linear nor log"),
        ({"from": 1, "to": 2, "step": 1}, "'step'"),
    ],
)
def test_what_may_not(written: Any, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        parse_domain(written)


def test_what_optuna_samples() -> None:
    space: Space = {"a": Fixed(1), "b": Choice((1, "x")), "c": Range(1, 5), "d": Range(0.5, 5, log=True)}
    assert distributions(space) == {
        "b": CategoricalDistribution((1, "x")),
        "c": IntDistribution(1, 5),
        "d": FloatDistribution(0.5, 5, log=True),
    }
    assert fixed_parameters(space) == {"a": 1}
