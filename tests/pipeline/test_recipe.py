"""Recipes: the shipped ones load; whatever is wrong is refused with its line and field."""

import subprocess
import sys
from pathlib import Path

import pytest

from aimass.core.documents import Document
from aimass.core.errors import DocumentError
from aimass.pipeline.recipe import load_recipe
from aimass.training.fitting import make_trainer
from aimass.training.space import Choice, Fixed, Range
from aimass.training.trainers import TRAINERS

DEPLOYMENTS = Path(__file__).parents[2] / "deployments"
GOOD = """\
recipe: plants
data: {source: iris}
transforms:
  scale: standard_scale
candidates:
  linear:
    trainer: logistic_regression
    transform: scale
    space:
      C: {from: 0.1, to: 10, scale: log}
      fit_intercept: [true, false]
      max_iter: 200
budget: {trials: 4}
"""


@pytest.mark.parametrize("path", sorted(DEPLOYMENTS.glob("*/recipe.yaml")), ids=lambda path: str(path.parent.name))
def test_shipped_recipes_load(path: Path) -> None:
    if path.parent.name == "images":
        pytest.importorskip("torch", reason="needs the extra torch")
    recipe = load_recipe(Document.read(path))
    assert recipe.recipe == path.parent.name


def test_digits_tries_every_trainer_of_the_core_install() -> None:
    recipe = load_recipe(Document.read(DEPLOYMENTS / "digits" / "recipe.yaml"))
    assert {spec.trainer for spec in recipe.candidates.values()} == {
        key for key in TRAINERS if not make_trainer(key).packages
    }


def test_plan_is_what_was_written() -> None:
    recipe = load_recipe(Document(GOOD, "recipe.yaml"))
    plan = recipe.experiment()
    linear = plan.candidates["linear"]
    assert (linear.trainer, linear.transform) == ("logistic_regression", "standard_scale")
    assert linear.space == {"C": Range(0.1, 10, True), "fit_intercept": Choice((True, False)), "max_iter": Fixed(200)}
    assert (plan.trials, plan.seconds, plan.metric, recipe.split.folds) == (4, None, "log_loss", 5)


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "said"),
    [
        ("budget: {trials: 4}", "bugdet: 1\nbudget: {trials: 4}", 13, "bugdet", "unknown key"),
        ("source: iris", "source: moon", 2, "data", "unknown source 'moon'"),
        ("source: iris", "source: csv", 2, "data", "path and label"),
        ("source: iris", "source: iris, label: y", 2, "data", "takes neither"),
        ("source: iris", "source: iris, rows: 200", 2, "data", "rows and seed are of source moved_digits"),
        ("source: iris", "source: moved_digits, rows: 0", 2, "data.rows", "greater than or equal to 100"),
        ("source: iris", "source: moved_digits, rows: 2000000", 2, "data.rows", "less than or equal to 1000000"),
        ("source: iris", "source: moved_digits, seed: -1", 2, "data.seed", "greater than or equal to 0"),
        ("source: iris", "source: moved_digits, angle: 3", 2, "data.angle", "unknown key"),
        ("source: iris", "source: csv, path: /etc/passwd, label: root", 2, "data", "must end in .csv"),
        ("recipe: plants", "recipe: Plants!", 1, "recipe", "lower-case"),
        ("scale: standard_scale", "scale: standard", 4, "transforms.scale", "standard_scale"),
        ("transform: scale", "transform: scaler", 4, "transforms.scale", "no candidate names"),
        ("    transform: scale\n", "", 4, "transforms.scale", "no candidate names"),
        ("transforms:\n  scale: standard_scale\n", "", 6, "candidates.linear.transform", "no transform 'scale'"),
        ("trainer: logistic_regression", "trainer: perceptron", 7, "candidates.linear.trainer", "random_forest"),
        ("trainer: logistic_regression", "trainer: 'os:abort'", 7, "candidates.linear.trainer", "no Trainer"),
        ("trainer: logistic_regression", "trainer: 'sys:exit'", 7, "candidates.linear.trainer", "no Trainer"),
        ("scale: standard_scale", "scale: 'os:abort'", 4, "transforms.scale", "no Transform"),
        ("      C:", "      Z:", 10, "candidates.linear.space.Z", "unknown parameter"),
        ("from: 0.1", "from: -0.1", 10, "candidates.linear.space.C", "above 0"),
        ("from: 0.1", "from: 1e-1", 10, "candidates.linear.space.C", "1e-1"),
        ("from: 0.1", "from: 20", 10, "candidates.linear.space.C", "not below"),
        ("max_iter: 200", "max_iter: many", 12, "candidates.linear.space.max_iter", "max_iter"),
        ("max_iter: 200", "max_iter: []", 12, "candidates.linear.space.max_iter", "at least one"),
        ("max_iter: 200", "max_iter: -3", 12, "candidates.linear.space.max_iter", "max_iter"),
        ("linear:", "ensemble:", 6, "candidates.ensemble", "taken"),
        ("linear:", "scale:", 4, "transforms.scale", "different names"),
        ("budget: {trials: 4}", "", 1, "budget", "required"),
        ("trials: 4", "trials: 0", 13, "budget.trials", "greater than or equal to 1"),
        ("trials: 4", "trials: 4, seconds: 3", 13, "budget", "either"),
        ("budget: {trials: 4}", "score: f1\nbudget: {trials: 4}", 13, "score", "unknown metric"),
        ("budget: {trials: 4}", "seed: -1\nbudget: {trials: 4}", 13, "seed", "greater than or equal to 0"),
        ("budget: {trials: 4}", "split: {folds: 1}\nbudget: {trials: 4}", 13, "split.folds", "greater than"),
        ("budget: {trials: 4}", "split: {test: 1.5}\nbudget: {trials: 4}", 13, "split.test", "less than 1"),
        ("budget: {trials: 4}", "input: an image\nbudget: {trials: 4}", 13, "input", "pattern"),
    ],
)
def test_bad_recipes_are_refused_with_line_and_field(old: str, new: str, line: int, field: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(DocumentError, match=said) as caught:
        load_recipe(Document(GOOD.replace(old, new, 1), "recipe.yaml"))
    assert (caught.value.line, caught.value.field) == (line, field)
    assert str(caught.value).startswith(f"recipe.yaml:{line}: {field}")


def test_fewer_trials_than_candidates_are_refused() -> None:
    two = GOOD.replace("candidates:\n", "candidates:\n  forest: {trainer: random_forest}\n").replace(
        "trials: 4", "trials: 1"
    )
    with pytest.raises(DocumentError, match="1 trials for 2 candidates"):
        load_recipe(Document(two, "recipe.yaml"))


@pytest.mark.parametrize("module", ["recipe", "terminal", "progress"])
def test_checking_and_showing_load_no_ray(module: str) -> None:
    """The console checks recipes and the command line shows reports; neither waits for Ray or plots."""
    code = f"import sys, aimass.pipeline.{module}; print({{'ray', 'matplotlib', 'optuna'}} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=DEPLOYMENTS.parent
    )
    assert done.stdout.strip() == "set()"
