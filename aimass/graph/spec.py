"""The service document as a pydantic model: what may stand in service.yaml, and what it means when left out."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from aimass.core.documents import Document
from aimass.core.errors import Invalid
from aimass.core.ids import check_name
from aimass.core.signature import Datatype, Picture, TensorSpec

_TENSOR = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_LATER = {
    "": {"replicas"},
    "graph.nodes.*": {
        *("switch", "cascade", "quorum", "on_missing", "required", "deadline_ms", "retries"),
        *("hedge_after_ms", "fallback", "breaker"),
    },
    "limits": {"max_wait_ms"},
}
"""Keys of the design that this version does not act on, by where they would stand."""


def _label(name: str) -> str:
    try:
        return check_name(name, "service or node")
    except Invalid as error:
        raise ValueError(str(error)) from None


def _tensor(name: str) -> str:
    if not _TENSOR.fullmatch(name):
        raise ValueError(f"tensor name {name!r} must start with a letter and hold letters, digits, '_', '.' and '-'")
    return name


def _shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if not shape or shape[0] != -1:
        raise ValueError(f"shape {list(shape)} must start with -1, the rows")
    if any(size != -1 and size < 1 for size in shape):
        raise ValueError(f"shape {list(shape)}: a size is 1 or more, or -1 for any")
    return shape


def _classes(classes: tuple[Any, ...]) -> tuple[int | str, ...]:
    if {type(label) for label in classes} not in ({int}, {str}):
        raise ValueError("classes are whole numbers, or names; not both, and nothing else (quote a name like 'no')")
    return classes


def _numbered(inputs: Any) -> Any:
    return {str(index): source for index, source in enumerate(inputs)} if isinstance(inputs, list) else inputs


Label = Annotated[str, AfterValidator(_label)]
TensorName = Annotated[str, AfterValidator(_tensor)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PictureSpec(_Part):
    """How an image file becomes one row; see ``core.signature.Picture``."""

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    low: float = 0.0
    high: float = 1.0
    ink: Literal["dark", "light"] = "dark"


class InputSpec(_Part):
    """One tensor that callers send."""

    datatype: Datatype
    shape: Annotated[tuple[int, ...], AfterValidator(_shape)]
    allow_missing: bool = False
    picture: PictureSpec | None = None

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
        return TensorSpec(name, self.datatype, self.shape, self.allow_missing, picture)


class NodeSpec(_Part):
    """One node: exactly one of ``model``, ``transform``, ``combine`` says what it is."""

    model: str | None = None
    transform: str | None = None
    combine: str | None = None
    inputs: Annotated[dict[str, str], BeforeValidator(_numbered)]
    weights: tuple[float, ...] | None = None
    classes: Annotated[tuple[Any, ...], AfterValidator(_classes)] | None = None

    @property
    def kind(self) -> str:
        return "model" if self.model else "transform" if self.transform else "combine"

    @property
    def ref(self) -> str:
        """MODEL@VERSION or MODEL@ALIAS as written; empty for a combiner."""
        return self.model or self.transform or ""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in ("model", "transform", "combine") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"a node is one of model, transform, combine; this one is {' and '.join(kinds) or 'none'}")
        if kinds != ["combine"]:
            only_combine = [key for key in ("weights", "classes") if getattr(self, key) is not None]
            if only_combine:
                raise ValueError(f"{only_combine[0]!r} belongs to a combine node only")
        elif not self.inputs or list(self.inputs) != [str(index) for index in range(len(self.inputs))]:
            raise ValueError("a combine node takes a list of inputs, as in [a.probabilities, b.probabilities]")
        return self


class SubGraphSpec(_Part):
    """The graph of an ensemble: its inputs are those of the ensemble's signature."""

    nodes: dict[Label, NodeSpec] = Field(min_length=1)
    outputs: dict[TensorName, str] = Field(min_length=1)


class GraphSpec(SubGraphSpec):
    """The graph of a service."""

    inputs: dict[TensorName, InputSpec] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        both = sorted(self.inputs.keys() & self.outputs.keys())
        if both:
            raise ValueError(f"{both[0]!r} is an input and an output; give one of them another name")
        return self


class LimitsSpec(_Part):
    """What one replica of the gateway grants the service."""

    deadline_ms: float | None = Field(default=None, gt=0)
    max_queue: int = Field(default=512, ge=0)
    max_batch: int = Field(default=1024, ge=1)  # rows in one request
    max_concurrent: int = Field(default=2, ge=1)  # long calls that run at a time


class SloSpec(_Part):
    """What the operator promises; the planner heeds ``p95_ms``, status shows both against what was measured."""

    p95_ms: float | None = Field(default=None, gt=0)
    error_rate: float | None = Field(default=None, ge=0, le=1)


class ServiceSpec(_Part):
    """One service.yaml."""

    service: Label
    graph: GraphSpec
    placement: Literal["auto", "merged", "fused"] = "auto"
    limits: LimitsSpec = LimitsSpec()
    slo: SloSpec = SloSpec()


def load_service(document: Document) -> ServiceSpec:
    """The document as a service; the first thing wrong is a ``DocumentError`` with its line and field."""
    for place in _later_keys(document.data):
        raise document.error("this version does not know it yet; remove the key", *place)
    if document.data.get("placement") == "fanout":
        raise document.error("this version has no fanout yet; use auto, merged or fused", "placement")
    return document.parse(ServiceSpec)


def load_subgraph(data: Mapping[str, Any], ref: str) -> SubGraphSpec:
    """The graph of the ensemble ``ref``, from its artifact."""
    try:
        return SubGraphSpec.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise Invalid(f"the graph of {ref} is broken at {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _later_keys(data: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for where, keys in _LATER.items():
        for path, found in _mappings(data, tuple(where.split(".")) if where else ()):
            yield from ((*path, key) for key in found if key in keys)


def _mappings(data: Any, pattern: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The mappings at ``pattern``, where ``*`` is any key, with their places."""
    if not isinstance(data, Mapping):
        return
    if not pattern:
        yield (), data
        return
    for key in list(data) if pattern[0] == "*" else [pattern[0]]:
        for path, found in _mappings(data.get(key), pattern[1:]):
            yield (key, *path), found
