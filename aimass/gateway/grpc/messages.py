"""The messages of inference.proto, as classes. They live in a pool of their own: other programs register the same names
in protobuf's shared one, which takes each name once."""

from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

SERVICE = "inference.GRPCInferenceService"


def _load() -> DescriptorPool:
    pool = DescriptorPool()
    compiled = files("aimass.gateway.grpc").joinpath("inference.binpb").read_bytes()
    for file in FileDescriptorSet.FromString(compiled).file:
        pool.Add(file)
    return pool


POOL = _load()


def message(name: str) -> Any:
    """The class of a message of the package ``inference``."""
    return GetMessageClass(POOL.FindMessageTypeByName(f"inference.{name}"))


ModelInferRequest = message("ModelInferRequest")
ModelInferResponse = message("ModelInferResponse")
ModelStreamInferResponse = message("ModelStreamInferResponse")
