"""The service document as a pydantic model: what may stand in service.yaml, and what it means when left out."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from aimass.core.documents import Document
from aimass.core.errors import Invalid
from aimass.core.signature import Datatype, Picture, Ragged, TensorSpec
from aimass.graph.document.nodes import SubGraphSpec
from aimass.graph.document.parts import Label, Part, TensorName
from aimass.graph.document.payloads import PayloadsSpec
from aimass.graph.document.policies import ReplicasSpec


def _shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if not shape or shape[0] != -1:
        raise ValueError(f"shape {list(shape)} must start with -1, the rows")
    if any(size != -1 and size < 1 for size in shape):
        raise ValueError(f"shape {list(shape)}: a size is 1 or more, or -1 for any")
    return shape


class PictureSpec(Part):
    """How an image file becomes one row; see ``core.signature.Picture``."""

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    low: float = 0.0
    high: float = 1.0
    ink: Literal["dark", "light"] = "dark"


class RaggedSpec(Part):
    """How inputs of different lengths are evened out; see ``core.signature.Ragged``."""

    axis: int = Field(default=1, ge=1)
    buckets: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512)
    pad: float = 0.0

    @field_validator("buckets")
    @classmethod
    def _ascending(cls, buckets: tuple[int, ...]) -> tuple[int, ...]:
        if not buckets or buckets[0] < 1 or any(one >= other for one, other in pairwise(buckets)):
            raise ValueError(f"buckets {list(buckets)}: lengths from 1 upwards, each larger than the one before")
        return buckets


class InputSpec(Part):
    """One tensor that callers send."""

    datatype: Datatype
    shape: Annotated[tuple[int, ...], AfterValidator(_shape)]
    allow_missing: bool = False
    picture: PictureSpec | None = None
    ragged: RaggedSpec | None = None

    @model_validator(mode="after")
    def _ragged_fits(self) -> Self:
        ragged = self.ragged
        if ragged is None:
            return self
        if ragged.axis >= len(self.shape) or self.shape[ragged.axis] != -1:
            raise ValueError(f"axis {ragged.axis} of shape {list(self.shape)} is not free (-1), so it cannot be ragged")
        if self.datatype is Datatype.BYTES:
            raise ValueError("BYTES cannot be padded; leave `ragged` out")
        if not self.datatype.value.startswith("FP") and not ragged.pad.is_integer():
            raise ValueError(f"pad {ragged.pad} is no {self.datatype}")
        return self

    @model_validator(mode="after")
    def _picture_fits(self) -> Self:
        picture = self.picture
        if picture is not None and self.shape[1:] not in (
            (picture.height * picture.width,),
            (picture.height, picture.width),
        ):
            raise ValueError(f"a picture of {picture.height} by {picture.width} does not fill shape {list(self.shape)}")
        return self

    def tensor(self, name: str) -> TensorSpec:
        """The same as a value."""
        picture = Picture(**self.picture.model_dump()) if self.picture else None
        ragged = Ragged(**self.ragged.model_dump()) if self.ragged else None
        return TensorSpec(name, self.datatype, self.shape, self.allow_missing, picture, ragged)


class GraphSpec(SubGraphSpec):
    """The graph of a service."""

    inputs: dict[TensorName, InputSpec] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        both = sorted(self.inputs.keys() & self.outputs.keys())
        if both:
            raise ValueError(f"{both[0]!r} is an input and an output; give one of them another name")
        buckets = {item.ragged.buckets for item in self.inputs.values() if item.ragged}
        if len(buckets) > 1:
            raise ValueError("ragged inputs have one length, so they have the same buckets")
        return self


class LimitsSpec(Part):
    """What one replica of the gateway grants the service."""

    deadline_ms: float | None = Field(default=None, gt=0)
    max_queue: int = Field(default=512, ge=0)
    max_batch: int = Field(default=1024, ge=1)  # rows in one request
    max_concurrent: int = Field(default=2, ge=1)  # long calls that run at a time
    batch_rows: int = Field(default=64, ge=1)  # rows of several requests that run together; 1: each by itself
    max_wait_ms: float = Field(default=2.0, ge=0)  # the longest that a row waits for others
    pinned: bool = False  # never let go of for want of memory


class SloSpec(Part):
    """What the operator promises, and at how many calls a second over all gateway replicas; the planner heeds
    ``p95_ms`` and the load, status shows what was measured beside it."""

    p95_ms: float | None = Field(default=None, gt=0)
    error_rate: float | None = Field(default=None, ge=0, le=1)
    load_rps: float | None = Field(default=None, gt=0)


class ServiceSpec(Part):
    """One service.yaml. ``replicas`` is what fan-out nodes have that say nothing else."""

    service: Label
    graph: GraphSpec
    placement: Literal["auto", "merged", "fused", "fanout"] = "auto"
    replicas: ReplicasSpec | None = None
    limits: LimitsSpec = LimitsSpec()
    slo: SloSpec = SloSpec()
    payloads: PayloadsSpec | None = None  # none: no call is kept


def load_service(document: Document) -> ServiceSpec:
    """The document as a service; the first thing wrong is a ``DocumentError`` with its line and field."""
    return document.parse(ServiceSpec)


def load_subgraph(data: Mapping[str, Any], ref: str) -> SubGraphSpec:
    """The graph of the ensemble ``ref``, from its artifact."""
    try:
        return SubGraphSpec.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        problem = first["msg"].removeprefix("Value error, ")
        raise Invalid(f"the graph of {ref} is broken at {'.'.join(map(str, first['loc']))}: {problem}") from None
