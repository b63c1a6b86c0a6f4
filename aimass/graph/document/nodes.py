"""Nodes and sub-graphs of a service document: which keys each kind of node has, and what must hold of them alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from aimass.graph.document.parts import Label, Part, TensorName
from aimass.graph.document.policies import POLICY_KEYS, SCALE_KEYS, PolicySpec

ELSE = "else"
FALLBACK = "fallback"
STACKING = "stacking"  # a combiner and the model that learned to read it: becomes two nodes
KINDS = ("model", "transform", "combine", "switch", "cascade")
_CALLS = ("model", "transform", STACKING)
_BELONG = {
    "weights": ("combine",),
    "quorum": ("combine",),
    "on_missing": ("combine",),
    "classes": ("combine", "cascade"),
    "threshold": ("cascade",),
    "thresholds": ("cascade",),
    "temperatures": ("cascade",),
    "cases": ("switch",),
    "otherwise": ("switch",),
    "inputs": ("model", "transform", "combine", STACKING),
    "members": ("model", STACKING),
    "placement": (*_CALLS, "combine", "switch", "cascade"),
    **dict.fromkeys((*POLICY_KEYS, *SCALE_KEYS), _CALLS),
}
"""Key → the kinds of node that it may stand in, beside the keys that say what a node is."""

Threshold = Annotated[float, Field(gt=0, le=1)]
Temperature = Annotated[float, Field(gt=0)]


def _once(sources: Sequence[Any]) -> None:
    for source, times in Counter(map(str, sources)).items():
        if times > 1:
            raise ValueError(f"{source!r} stands in it {times} times; once is enough, weights can make it count more")


def _numbered(inputs: Any) -> Any:
    if not isinstance(inputs, list | tuple):
        return inputs
    _once(inputs)
    return {str(index): source for index, source in enumerate(inputs)}


class MemberSpec(PolicySpec):
    """What a service says of a node inside an ensemble; it goes before what the ensemble says itself. ``fallback`` is a
    node of the same ensemble; ``members`` are those of an ensemble in the ensemble."""

    quorum: int | None = Field(default=None, ge=1)
    on_missing: Literal["renormalise", "fail"] | None = None
    members: dict[Label, "MemberSpec"] | None = None


def _classes(classes: tuple[Any, ...]) -> tuple[int | str, ...]:
    if {type(label) for label in classes} not in ({int}, {str}):
        raise ValueError("classes are whole numbers, or names; not both, and nothing else (quote a name like 'no')")
    return classes


@dataclass(frozen=True)
class Edge:
    """What feeds a port: the text of the document, and where below the node it stands."""

    source: str
    location: tuple[str | int, ...]


class NodeSpec(PolicySpec):
    """One node. ``model``, ``transform``, ``combine``, ``switch`` or ``cascade`` says what it is; ``combine: stacking``
    has a ``model`` too."""

    model: str | None = None
    transform: str | None = None
    combine: str | None = None
    inputs: Annotated[dict[str, str], BeforeValidator(_numbered)] = {}
    weights: tuple[float, ...] | None = None
    quorum: int | None = Field(default=None, ge=1)
    on_missing: Literal["renormalise", "fail"] | None = None
    cascade: tuple[str, ...] | None = Field(default=None, min_length=2)
    threshold: Threshold | None = None
    thresholds: tuple[Threshold, ...] | None = None
    temperatures: tuple[Temperature, ...] | None = None
    classes: Annotated[tuple[Any, ...], AfterValidator(_classes)] | None = None
    members: dict[Label, MemberSpec] | None = None
    switch: str | None = None
    cases: dict[str, dict[TensorName, str]] | None = Field(default=None, min_length=1)
    otherwise: dict[TensorName, str] | None = Field(default=None, alias="else")

    @property
    def kind(self) -> str:
        if self.combine == STACKING:
            return STACKING
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def ref(self) -> str:
        """MODEL@VERSION or MODEL@ALIAS as written; empty where nothing registered is called."""
        return self.model or self.transform or ""

    @property
    def branches(self) -> Mapping[str, Mapping[str, str]]:
        """Of a switch: case, and ``else`` last, → output → source."""
        return {**(self.cases or {}), ELSE: self.otherwise or {}} if self.switch else {}

    def edges(self) -> dict[str, Edge]:
        """Everything it reads, by port."""
        if self.switch is not None:
            found = {"select": Edge(self.switch, ("switch",))}
            for case, sources in self.branches.items():
                at = (ELSE,) if case == ELSE else ("cases", case)
                found |= {f"{case}.{name}": Edge(text, (*at, name)) for name, text in sources.items()}
            return found
        if self.cascade is not None:
            return {str(index): Edge(text, ("cascade", index)) for index, text in enumerate(self.cascade)}
        listed = self.combine is not None
        return {port: Edge(text, ("inputs", int(port) if listed else port)) for port, text in self.inputs.items()}

    @field_validator("weights")
    @classmethod
    def _weights_match(cls, weights: tuple[float, ...] | None, info: ValidationInfo) -> tuple[float, ...] | None:
        inputs = info.data.get("inputs", {})
        if weights is not None and inputs and len(weights) != len(inputs):
            raise ValueError(f"{len(weights)} weights for {len(inputs)} inputs")
        if weights is not None and (any(weight < 0 for weight in weights) or sum(weights) <= 0):
            raise ValueError("weights must be 0 or more, and not all 0")
        return weights

    @field_validator("quorum")
    @classmethod
    def _quorum_can_be(cls, quorum: int | None, info: ValidationInfo) -> int | None:
        inputs = info.data.get("inputs", {})
        if quorum is not None and inputs and quorum > len(inputs):
            raise ValueError(f"a quorum of {quorum} among {len(inputs)} inputs")
        return quorum

    @field_validator("on_missing")
    @classmethod
    def _missing_fits_quorum(cls, on_missing: str | None, info: ValidationInfo) -> str | None:
        quorum, inputs = info.data.get("quorum"), info.data.get("inputs", {})
        if on_missing == "fail" and quorum is not None and quorum < len(inputs):
            raise ValueError(f"fail needs all {len(inputs)} inputs, the quorum only {quorum}; remove one of the two")
        return on_missing

    @field_validator("cascade")
    @classmethod
    def _members_once(cls, cascade: tuple[str, ...] | None) -> tuple[str, ...] | None:
        _once(cascade or ())
        return cascade

    @field_validator("thresholds", "temperatures")
    @classmethod
    def _one_per_step(cls, values: tuple[float, ...] | None, info: ValidationInfo) -> tuple[float, ...] | None:
        members = info.data.get("cascade")
        if values is not None and members and len(values) != len(members) - 1:
            raise ValueError(f"{len(values)} of them for {len(members)} members; give one for each but the last")
        return values

    @field_validator("cases")
    @classmethod
    def _cases_alike(cls, cases: dict[str, dict[str, str]] | None) -> dict[str, dict[str, str]] | None:
        for case, outputs in (cases or {}).items():
            if case in (ELSE, FALLBACK):
                raise ValueError(f"no case can be called {case!r}; `else` stands beside the cases")
            first, given = next(iter((cases or {}).items()))
            _alike(case, outputs, first, given)
        return cases

    @field_validator("otherwise")
    @classmethod
    def _else_alike(cls, otherwise: dict[str, str] | None, info: ValidationInfo) -> dict[str, str] | None:
        if otherwise is not None and info.data.get("cases"):
            _alike(ELSE, otherwise, *next(iter(info.data["cases"].items())))
        return otherwise

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if kinds != (["model", "combine"] if self.combine == STACKING else kinds[:1]) or not kinds:
            _refuse_kinds(self.combine, kinds)
        for key in sorted(self.model_fields_set - set(KINDS)):
            if self.kind not in _BELONG[key]:
                name = ELSE if key == "otherwise" else key
                raise ValueError(f"{name!r} does not belong to a {self.kind} node; remove it")
        return self

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.combine is not None and list(self.inputs) != [str(index) for index in range(len(self.inputs) or 1)]:
            raise ValueError(f"a {self.kind} node takes a list of inputs, as in [a.probabilities, b.probabilities]")
        if self.placement == "fanout" and self.kind not in _CALLS:
            raise ValueError(
                f"a {self.kind} node calls nothing; only models and transforms can be a fanout of their own"
            )
        if self.kind == "cascade" and (self.threshold is None) == (self.thresholds is None):
            raise ValueError("a cascade needs a threshold, or thresholds with one for each member but the last")
        if self.kind == "switch" and self.cases is None:
            raise ValueError("a switch needs cases: a mapping of values to outputs")
        if self.kind == "switch" and self.otherwise is None:
            raise ValueError("a switch needs an `else`: the outputs for values that no case names")
        return self


def _alike(case: str, outputs: Mapping[str, str], first: str, given: Mapping[str, str]) -> None:
    if not outputs:
        raise ValueError(f"{case!r} gives no outputs")
    for name in outputs:
        if "." in name:
            raise ValueError(f"output {name!r} of a switch must not hold a dot")
    if outputs.keys() != given.keys():
        raise ValueError(f"{case!r} gives {', '.join(sorted(outputs))}; {first!r} gives {', '.join(sorted(given))}")


def _refuse_kinds(combine: str | None, kinds: Sequence[str]) -> None:
    if combine == STACKING and kinds == ["combine"]:
        raise ValueError("stacking needs a model: the one that was trained on the members' outputs")
    raise ValueError(f"a node is one of {', '.join(KINDS)}; this one is {' and '.join(kinds) or 'none'}")


class SubGraphSpec(Part):
    """The graph of an ensemble: its inputs are those of the ensemble's signature."""

    nodes: dict[Label, NodeSpec] = Field(min_length=1)
    outputs: dict[TensorName, str] = Field(min_length=1)
