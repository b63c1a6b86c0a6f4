"""MLServer with adaptive batching: requests are merged before they reach the model, by their number and by time."""

import os
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.by_hand import Scorer
from benchmarks.workloads import OUTPUT


class Service(MLModel):
    """One service, by its name."""

    async def load(self) -> bool:
        self._scorer = Scorer(Path(os.environ["BENCH_MODELS"]))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype("float32")
        output = NumpyCodec.encode_output(OUTPUT, self._scorer.score(self.name, rows))
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=[output])
