"""What runs a version: a folder on disk becomes ``predict(batch)``."""

RUNTIMES = {
    "onnx": "aimass.runtimes.onnx:OnnxRuntime",
    "sentence": "aimass.runtimes.sentence:SentenceRuntime",
}
