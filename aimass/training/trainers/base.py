"""The contract of a trainer: parameters, rows and a seed in, a fitted classifier that gives probabilities out."""

import warnings
from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import Any, ClassVar, final

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Bug, Invalid
from aimass.training.site import Site
from aimass.training.space import Parameters


class Trainer(ABC):
    """Fits estimators that ``runtimes.conversion`` turns into ONNX. The same arguments give the same model.

    ``parameters`` are those a recipe may set, by scikit-learn's names; ``packages`` are needed beside the core install.
    """

    parameters: ClassVar[frozenset[str]]
    packages: ClassVar[tuple[str, ...]] = ()

    @final
    def fit(self, rows: Array, labels: Array, parameters: Parameters, seed: int, site: Site | None = None) -> Any:
        """A classifier with ``predict_proba`` whose classes are the labels 0 … k-1, every one of which occurs.

        With a ``site`` a trainer may spread the work; without, all happens in this process.
        ``Invalid`` when rows and labels do not fit, or when the estimator refuses the parameters.
        """
        if rows.ndim != 2 or rows.dtype != np.float32 or len(rows) != len(labels) or not np.isfinite(rows).all():
            raise Invalid(f"expected finite float32 [rows, features] and as many labels, got {list(rows.shape)}")
        classes = np.unique(labels)
        if len(classes) < 2 or classes.tolist() != list(range(len(classes))):
            raise Invalid(f"labels must be 0 to k-1 with k at least 2, got {classes.tolist()[:20]}")
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        self.check(parameters)
        with threadpool_limits(1), warnings.catch_warnings():  # trials beside it use the other cores
            warnings.filterwarnings("ignore", message=".*failed to converge.*")  # the score tells how bad that is
            if site is None:
                model = self._build(parameters, seed).fit(rows, labels)
            else:
                model = self._fit_at(site, parameters, seed, rows, labels)
        if not hasattr(model, "predict_proba") or model.classes_.tolist() != classes.tolist():
            raise Bug(f"{type(self).__name__} fitted a model without probabilities of every class")
        return model

    @final
    def check(self, parameters: Parameters) -> None:
        """``Invalid``, with the parameter as its field, for one that is unknown or that scikit-learn refuses."""
        for package in filter(lambda package: find_spec(package) is None, self.packages):
            raise Invalid(
                f"needs the package {package!r}; install it: .venv/bin/pip install -c constraints.txt -e '.[torch]'"
            )
        for name, value in parameters.items():
            if name not in self.parameters:
                raise Invalid(f"unknown parameter; known: {', '.join(sorted(self.parameters))}", field=name)
            problem = self._problem({name: value})
            if problem:
                raise Invalid(problem, field=name)

    def cpus(self, parameters: Parameters) -> float:
        """Ray's CPUs that a fit with a site asks for beside the run's own; none: it stays in its process."""
        return 0.0

    def _problem(self, parameters: Parameters) -> str:
        """What scikit-learn's own constraints have against them; empty if nothing."""
        from sklearn.utils._param_validation import InvalidParameterError

        try:
            self._estimator(parameters, 0)._validate_params()
        except InvalidParameterError as error:
            return str(error)
        return ""

    def _build(self, parameters: Parameters, seed: int) -> Any:
        """What is fitted: the estimator, or something around it."""
        return self._estimator(parameters, seed)

    def _fit_at(self, site: Site, parameters: Parameters, seed: int, rows: Array, labels: Array) -> Any:
        """As ``fit``, by whatever means the site offers."""
        return self._build(parameters, seed).fit(rows, labels)

    @abstractmethod
    def _estimator(self, parameters: Parameters, seed: int) -> Any:
        """The unfitted estimator, scikit-learn's or one with its verbs, that takes the parameters."""
