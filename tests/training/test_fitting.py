"""Out-of-fold predictions against scikit-learn's cross_val_predict."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aimass.core.errors import Invalid
from aimass.data.sources import load_bundled
from aimass.data.split import folds
from aimass.training.fitting import Configuration, make_trainer, out_of_fold

WINE = load_bundled("wine")
FOLDS = folds(WINE, 4, 11)
SPLITS = [(fold.fit, fold.predict) for fold in FOLDS]


def test_on_raw_features() -> None:
    forest = RandomForestClassifier(n_estimators=12, random_state=5)
    wanted = cross_val_predict(forest, WINE.rows, WINE.labels, cv=SPLITS, method="predict_proba")
    ours = out_of_fold(Configuration("random_forest", "", {"n_estimators": 12}, 5), WINE.rows, WINE.labels, FOLDS)
    np.testing.assert_array_equal(ours, wanted.astype(np.float32))


def test_behind_a_transform_that_is_fitted_in_each_fold() -> None:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.5))
    wanted = cross_val_predict(pipeline, WINE.rows.astype(np.float64), WINE.labels, cv=SPLITS, method="predict_proba")
    ours = out_of_fold(
        Configuration("logistic_regression", "standard_scale", {"C": 0.5}, 0), WINE.rows, WINE.labels, FOLDS
    )
    np.testing.assert_allclose(ours, wanted, atol=1e-3)


def test_unknown_trainer_names_the_known() -> None:
    with pytest.raises(Invalid, match="random_forest"):
        make_trainer("forest")
