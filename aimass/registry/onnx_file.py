"""An ``.onnx`` file looked at in a child process: valid, whole in itself, with a signature that can be served.

A forged graph can crash or stall the libraries that read it; here that is a child, and its caller gets one error.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError, Message

from aimass.core.errors import AimassError, Invalid
from aimass.core.signature import Signature
from aimass.registry.child import run_child


def inspect_onnx(file: Path, name: str) -> Signature:
    """What the graph in the file takes and gives; ``Invalid`` says what is wrong with the file called ``name``."""
    return Signature.from_json(json.loads(run_child("aimass.registry.onnx_file", str(file), name)))


def tensors(message: Message) -> Iterator[Any]:
    """Every TensorProto anywhere below a protobuf message: initializers, sparse ones, attributes, subgraphs, functions,
    training graphs, and whatever a later format adds, for it goes by the fields that are set."""
    import onnx

    if isinstance(message, onnx.TensorProto):
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else (value,):
                yield from tensors(inner)


def _main(source: str, name: str) -> None:
    import onnx

    from aimass.runtimes.onnx import open_session
    from aimass.runtimes.onnx_signature import read_signature

    data = Path(source).read_bytes()
    try:
        model = onnx.load_model_from_string(data)
        _refuse_outside(model, name)  # before the checker, which looks for the files
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, DecodeError) as error:
        raise Invalid(f"{name} is not a valid ONNX model: {str(error).rstrip('. ')}; export it again") from error
    print(json.dumps(read_signature(open_session(data)).to_json()))


def _refuse_outside(model: Any, name: str) -> None:
    """No uploaded model may name a file of this machine."""
    import onnx

    for tensor in tensors(model):
        if tensor.external_data or tensor.data_location != onnx.TensorProto.DEFAULT:
            raise Invalid(
                f"{name} keeps the weights of {tensor.name!r} in other files; save it in one "
                "(save_as_external_data=False)"
            )


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except AimassError as failure:
        raise SystemExit(" ".join(str(failure).split())) from failure
