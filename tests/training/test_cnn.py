"""The convolutional network: it learns as plain PyTorch does, goes on where it stopped, and is the same in ONNX."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.errors import Invalid
from aimass.data.moved_digits import load_moved_digits
from aimass.runtimes.conversion import check_conversion, to_onnx
from aimass.training.trainers import base
from aimass.training.trainers.cnn import CnnTrainer

torch = pytest.importorskip("torch", reason="needs the extra torch")

from aimass.training.cnn.classifier import PictureClassifier  # noqa: E402
from aimass.training.cnn.learning import Lesson, State, learn  # noqa: E402

DIGITS = load_moved_digits(600, 3)
QUICK = {"epochs": 3, "batch": 50, "learning_rate": 0.01, "weight_decay": 0.01, "width": 4}


def lesson(rows: int = 300, **options: Any) -> Lesson:
    return Lesson(DIGITS.rows[:rows], DIGITS.labels[:rows], seed=5, **{**QUICK, **options})


def weights(network: Any) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in network.state_dict().values()]


def test_learns_as_plain_torch_does() -> None:
    """The same steps in the words of PyTorch's own tutorials: mean loss, a scheduler, one network."""
    given = lesson()
    plain = given.network()
    optimiser = torch.optim.AdamW(plain.parameters(), lr=0.01, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: given.rate(step) / 0.01)
    loss_of = torch.nn.CrossEntropyLoss()
    for epoch in range(3):
        for chosen in given.order(epoch):
            optimiser.zero_grad()
            loss_of(plain(torch.tensor(given.rows[chosen])), torch.tensor(given.labels[chosen])).backward()
            optimiser.step()
            scheduler.step()
    for ours, theirs in zip(learn(given).parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("stopped", [1, 2])
def test_what_was_interrupted_ends_with_the_same_bits(stopped: int) -> None:
    kept: dict[int, State] = {}

    def keep(epochs: int, loss: float, state: Callable[[], State]) -> None:
        if epochs == stopped:
            kept[epochs] = {
                "epochs": epochs,
                **{part: _copied(state()[part]) for part in ("network", "optimiser")},
            }

    whole = learn(lesson(), after_epoch=keep)
    told: list[int] = []
    resumed = learn(lesson(), state=kept[stopped], after_epoch=lambda epochs, loss, state: told.append(epochs))
    assert weights(resumed) == weights(whole)
    assert told == list(range(stopped + 1, 4))


def _copied(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _copied(value) for name, value in part.items()}
    if isinstance(part, list):
        return [_copied(value) for value in part]
    return part.clone() if isinstance(part, torch.Tensor) else part


@given(rows=st.integers(2, 500), batch=st.integers(2, 300), epochs=st.integers(1, 20))
def test_every_step_has_its_rows_and_its_rate(rows: int, batch: int, epochs: int) -> None:
    made = lesson(rows, batch=batch, epochs=epochs)
    order = made.order(0)
    assert order.shape == (max(1, rows // batch), min(rows, batch))
    assert len(set(order.ravel())) == order.size
    rates = [made.rate(step) for step in range(epochs * made.steps)]
    assert max(rates) == pytest.approx(0.01)
    assert min(rates) > 0
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@pytest.fixture(scope="module")
def fitted() -> Any:
    return CnnTrainer().fit(DIGITS.rows[:400], DIGITS.labels[:400], {"epochs": 25, "batch": 32, "width": 8}, seed=1)


def test_reads_digits(fitted: Any) -> None:
    assert (fitted.predict(DIGITS.rows[400:]) == DIGITS.labels[400:]).mean() > 0.7


@pytest.fixture(scope="module")
def exported(fitted: Any) -> bytes:
    return to_onnx(fitted, "x", 64)


@pytest.fixture(scope="module")
def session(exported: bytes) -> Any:
    return onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])


@given(rows=st.integers(1, 200), seed=st.integers(0, 1000))
def test_onnx_answers_as_torch_does(fitted: Any, session: Any, rows: int, seed: int) -> None:
    batch = np.random.default_rng(seed).uniform(0, 16, (rows, 64)).astype(np.float32)
    label, probabilities = session.run(["label", "probabilities"], {"x": batch})
    wanted = fitted.predict_proba(batch)
    np.testing.assert_allclose(probabilities, wanted, atol=1e-5)
    clear = np.sort(wanted)[:, -1] - np.sort(wanted)[:, -2] > 1e-4
    assert (label[clear] == wanted.argmax(axis=1)[clear]).all()


def test_the_onnx_file_names_nothing_of_this_machine(fitted: Any, exported: bytes) -> None:
    assert check_conversion(fitted, exported, DIGITS.rows[400:]).rows_beyond == 0
    assert b".py" not in exported
    assert str(Path.home()).encode() not in exported


@pytest.mark.parametrize(
    ("parameter", "value", "said"),
    [
        ("epochs", 0, "1 to 1000, not 0"),
        ("epochs", "many", "whole number, not 'many'"),
        ("epochs", True, "whole number, not True"),
        ("batch", 1, "2 to 65536"),
        ("width", 1.5, "whole number"),
        ("learning_rate", 0.0, "not 0.0"),
        ("learning_rate", None, "number, not None"),
        ("weight_decay", -1.0, "not -1.0"),
        ("workers", 0, "1 to 64"),
        ("layers", 3, "unknown parameter"),
    ],
)
def test_bad_parameters_are_refused(parameter: str, value: Any, said: str) -> None:
    with pytest.raises(Invalid, match=said) as caught:
        CnnTrainer().check({parameter: value})
    assert caught.value.field == parameter


def test_rows_that_are_no_pictures_are_refused() -> None:
    with pytest.raises(Invalid, match="63 columns"):
        CnnTrainer().fit(DIGITS.rows[:, :63].copy(), DIGITS.labels, {"epochs": 1}, seed=0)


def test_without_its_packages_the_trainer_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    with pytest.raises(Invalid, match=r"'torch'.*\.\[torch\]"):
        CnnTrainer().check({})


def test_who_trains_no_network_loads_no_torch() -> None:
    code = (
        "import sys, aimass.pipeline.run, aimass.cli.main\n"
        "from aimass.training.fitting import make_trainer\n"
        "[make_trainer(key).check({}) for key in ('cnn', 'svm')]\n"
        "print({'torch', 'onnxscript'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_classifier_is_unfitted_until_it_is_fitted() -> None:
    classifier = PictureClassifier(QUICK, 0)
    assert classifier.network is None
    assert classifier.fit(DIGITS.rows[:100], DIGITS.labels[:100]).predict_proba(DIGITS.rows[:3]).shape == (3, 10)
