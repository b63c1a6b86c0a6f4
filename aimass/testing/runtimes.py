"""What every runtime must do: subclass ``RuntimeConformance`` in a test module and write a small model for yours."""

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aimass.core.batch import Batch
from aimass.core.errors import AimassError, Invalid, Unavailable
from aimass.core.signature import Datatype, Signature
from aimass.runtimes.base import Runtime
from aimass.runtimes.samples import random_rows


class RuntimeConformance(ABC):
    """Collected by pytest in its subclasses."""

    kind: type[Runtime]
    tolerance = 1e-5
    gpus = 0.0  # the part of a GPU that its versions run on

    @abstractmethod
    def write(self, folder: Path) -> Signature:
        """Write a small model with two outputs at least into ``folder``; its signature."""

    @abstractmethod
    def expected(self, batch: Batch) -> Batch:
        """What that model answers, found in another way."""

    def load(self, folder: Path, signature: Signature) -> Runtime:
        return self.kind.load(folder, signature, self.gpus)

    @pytest.fixture
    def version(self, tmp_path: Path) -> tuple[Path, Signature]:
        return tmp_path, self.write(tmp_path)

    @pytest.mark.parametrize("rows", [1, 2, 33])
    def test_answers_as_expected(self, version: tuple[Path, Signature], rows: int) -> None:
        folder, signature = version
        batch = random_rows(signature.inputs, rows, np.random.default_rng(rows))
        runtime = self.load(folder, signature)
        answer, expected = runtime.predict(batch), self.expected(batch)
        assert list(answer) == [spec.name for spec in signature.outputs]
        for spec in signature.outputs:
            np.testing.assert_allclose(answer[spec.name], expected[spec.name], atol=self.tolerance)
        described = replace(signature, inputs=signature.outputs)
        assert described.check(answer) == rows

    def test_rows_do_not_see_each_other(self, version: tuple[Path, Signature]) -> None:
        folder, signature = version
        batch = random_rows(signature.inputs, 20, np.random.default_rng(0))
        runtime = self.load(folder, signature)
        together = runtime.predict(batch)
        for row in range(20):
            alone = runtime.predict({name: array[row : row + 1] for name, array in batch.items()})
            for name, array in alone.items():
                np.testing.assert_allclose(array, together[name][row : row + 1], atol=self.tolerance)

    def test_answers_many_threads(self, version: tuple[Path, Signature]) -> None:
        folder, signature = version
        runtime = self.load(folder, signature)
        batches = [random_rows(signature.inputs, 3, np.random.default_rng(seed)) for seed in range(64)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(runtime.predict, batches))
        for batch, answer in zip(batches, answers, strict=True):
            expected = self.expected(batch)
            for name, array in answer.items():
                np.testing.assert_allclose(array, expected[name], atol=self.tolerance)

    def test_the_signature_chooses_outputs(self, version: tuple[Path, Signature]) -> None:
        folder, signature = version
        last = replace(signature, outputs=signature.outputs[-1:])
        answer = self.load(folder, last).predict(random_rows(signature.inputs, 2, np.random.default_rng(0)))
        assert list(answer) == [last.outputs[0].name]

    def test_a_signature_that_does_not_fit_is_refused(self, version: tuple[Path, Signature]) -> None:
        folder, signature = version
        first = signature.inputs[0]
        other = Datatype.INT8 if first.datatype != Datatype.INT8 else Datatype.FP32
        for wrong in (
            replace(first, name="nobody"),
            replace(first, datatype=other),
            replace(first, shape=(-1, 2, 3, 4)),
        ):
            with pytest.raises(Invalid) as caught:
                self.load(folder, replace(signature, inputs=(wrong, *signature.inputs[1:])))
            assert caught.value.field == wrong.name
        with pytest.raises(Invalid) as caught:
            self.load(folder, replace(signature, outputs=(replace(signature.outputs[0], name="nothing"),)))
        assert caught.value.field == "nothing"

    def test_what_is_not_a_model_is_refused(self, version: tuple[Path, Signature], tmp_path: Path) -> None:
        folder, signature = version
        for path in folder.iterdir():
            path.write_bytes(b"not a model")
        with pytest.raises(AimassError):
            self.load(folder, signature)
        for path in folder.iterdir():
            path.unlink()
        with pytest.raises(AimassError):
            self.load(folder, signature)
        with pytest.raises(AimassError):
            self.load(tmp_path / "absent", signature)

    def test_devices(self, version: tuple[Path, Signature]) -> None:
        folder, signature = version
        assert self.load(folder, signature).device == ("cuda" if self.gpus else "cpu")
        for gpus in (-0.5, 1.5):
            with pytest.raises(Invalid, match="one GPU"):
                self.kind.load(folder, signature, gpus)

    def test_closed_is_unavailable(self, version: tuple[Path, Signature]) -> None:
        folder, signature = version
        runtime = self.load(folder, signature)
        runtime.close()
        runtime.close()
        with pytest.raises(Unavailable):
            runtime.predict(random_rows(signature.inputs, 1, np.random.default_rng(0)))
