"""The services of the benchmark of many: as many as asked for, no two alike, and documents that can be deployed."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from aimass.core.documents import Document
from aimass.graph.spec import load_service
from benchmarks.many_services import make_services, models_for, row, write_models


@pytest.mark.parametrize(("services", "models"), [(1, 2), (3, 2), (4, 3), (200, 20), (211, 21)])
def test_the_fewest_models_that_suffice(services: int, models: int) -> None:
    assert models_for(services) == models


def test_services_differ_and_say_what_they_answer(tmp_path: Path) -> None:
    paths = write_models(tmp_path, 3)
    made = make_services(paths, 6)
    assert len({service.name for service in made}) == len({service.expected.tobytes() for service in made}) == 6
    for service in made:
        spec = load_service(Document(service.document, "service.yaml"))
        assert (spec.service, spec.placement) == (service.name, "merged")
        assert service.expected.sum() == pytest.approx(1, abs=1e-5)
    first, second = (onnxruntime.InferenceSession(paths[name]).run(None, {"x": row()})[0] for name in ("m00", "m01"))
    np.testing.assert_allclose(made[3].expected, (first + second) / 2, atol=1e-6)
