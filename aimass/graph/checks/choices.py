"""What combiners, cascades and switches need of those they choose from, and the signatures that follow from it."""

from collections.abc import Mapping

import numpy as np

from aimass.core.signature import NUMPY, Datatype, Signature, TensorSpec
from aimass.graph.document.nodes import ELSE, NodeSpec
from aimass.graph.graph import FEATURES, LABEL, MEMBER, PROBABILITIES, SELECT, STACK
from aimass.graph.places import Place

Tensors = Mapping[str, TensorSpec]
Places = Mapping[str, Place]


def combine_signature(spec: NodeSpec, members: Tensors, places: Places, place: Place) -> Signature:
    """Class probabilities in; probabilities and label out, or (``stack``) all columns side by side."""
    inputs = tuple(TensorSpec(port, member.datatype, member.shape) for port, member in members.items())
    if spec.combine == STACK:
        _check_chances(members, places, alike=False)
        for key in ("weights", "quorum", "on_missing", "classes"):
            if getattr(spec, key) is not None:
                raise place.at(key).error(f"{key!r} says nothing here: a stack needs every member and weighs none")
        return Signature(inputs, (stacked(members),))
    _check_chances(members, places, alike=True)
    _check_classes(spec, members["0"], place)
    return Signature(inputs, (_label(spec), TensorSpec(PROBABILITIES, Datatype.FP32, inputs[0].shape)))


def stacked(members: Tensors) -> TensorSpec:
    """All members' columns side by side."""
    widths = [member.shape[1] for member in members.values()]
    return TensorSpec(FEATURES, Datatype.FP32, (-1, -1 if -1 in widths else sum(widths)))


def cascade_signature(spec: NodeSpec, members: Tensors, places: Places, place: Place) -> Signature:
    """Class probabilities in; those of the member that answered out, with label and the member's index."""
    _check_chances(members, places, alike=True)
    _check_fixed(members["0"], places["0"])
    _check_classes(spec, members["0"], place)
    return Signature(
        tuple(TensorSpec(port, member.datatype, member.shape) for port, member in members.items()),
        (
            _label(spec),
            TensorSpec(PROBABILITIES, Datatype.FP32, members["0"].shape),
            TensorSpec(MEMBER, Datatype.INT64, (-1,)),
        ),
    )


def switch_signature(cases: Mapping[str, str], tensors: Tensors, places: Places) -> Signature:
    """The selector and every branch's tensors in; one tensor for each name out. ``cases``: as written → as read."""
    outputs = sorted(port.rpartition(".")[2] for port in tensors if port.startswith(f"{ELSE}."))
    out = []
    for name in outputs:
        first = tensors[f"{ELSE}.{name}"]
        _check_fixed(first, places[f"{ELSE}.{name}"])
        for case in cases:
            tensor, at = tensors[f"{case}.{name}"], places[f"{case}.{name}"]
            if (tensor.datatype, tensor.shape) != (first.datatype, first.shape):
                raise at.error(
                    f"{name!r} is {tensor.datatype} {list(tensor.shape)} here, and {first.datatype} "
                    f"{list(first.shape)} in `else`; every branch gives the same"
                )
        missing = any(tensors[f"{case}.{name}"].allow_missing for case in (*cases, ELSE))
        out.append(TensorSpec(name, first.datatype, first.shape, missing))
    ports = [(f"{case}.{name}", f"{read}.{name}") for case, read in (*cases.items(), (ELSE, ELSE)) for name in outputs]
    read = [(SELECT, tensors[SELECT]), *((port, tensors[written]) for written, port in ports)]
    inputs = (TensorSpec(port, tensor.datatype, tensor.shape, tensor.allow_missing) for port, tensor in read)
    return Signature(tuple(inputs), tuple(out))


def read_cases(spec: NodeSpec, selector: TensorSpec, place: Place) -> dict[str, str]:
    """Case as written → the value it names, in one spelling and order; all of the selector's datatype."""
    if selector.shape not in ((-1,), (-1, 1)):
        raise place.at("switch").error(f"a selector is one value per row, not {list(selector.shape)}")
    if selector.datatype in (Datatype.FP16, Datatype.FP32, Datatype.FP64):
        raise place.at("switch").error(f"a selector is a whole number, BOOL or BYTES, not {selector.datatype}")
    found: dict[str, str] = {}
    for case in spec.cases or {}:
        value = _value(case, selector.datatype)
        if value is None:
            raise place.at("cases", case).error(f"{case!r} is not a value of datatype {selector.datatype}")
        if value in found.values():
            raise place.at("cases", case).error(f"{case!r} is given twice")
        found[case] = value
    whole = selector.datatype not in (Datatype.BOOL, Datatype.BYTES)
    return dict(sorted(found.items(), key=lambda item: (int(item[1]) if whole else 0, item[1])))


def _value(case: str, datatype: Datatype) -> str | None:
    if datatype is Datatype.BYTES:
        return case
    if datatype is Datatype.BOOL:
        return case if case in ("true", "false") else None
    try:
        number = int(case)
    except ValueError:
        return None
    bounds = np.iinfo(NUMPY[datatype])
    return str(number) if bounds.min <= number <= bounds.max else None


def _check_chances(members: Tensors, places: Places, alike: bool) -> None:
    first = members["0"]
    for port, member in members.items():
        if member.datatype is not Datatype.FP32 or len(member.shape) != 2:
            raise places[port].error(
                f"FP32 of shape [-1, classes] is taken, not {member.datatype} {list(member.shape)}"
            )
        if alike and member.shape != first.shape:
            raise places[port].error(f"shape {list(member.shape)} differs from the first member's {list(first.shape)}")


def _label(spec: NodeSpec) -> TensorSpec:
    """Whole numbers, or names where the classes have names."""
    has_names = any(isinstance(label, str) for label in spec.classes or ())
    return TensorSpec(LABEL, Datatype.BYTES if has_names else Datatype.INT64, (-1,))


def _check_classes(spec: NodeSpec, member: TensorSpec, place: Place) -> None:
    if spec.classes is not None and len(spec.classes) != member.shape[1]:
        raise place.at("classes").error(f"{len(spec.classes)} classes for {member.shape[1]} probabilities")


def _check_fixed(tensor: TensorSpec, place: Place) -> None:
    """Rows of different branches are put into one array."""
    if -1 in tensor.shape[1:]:
        raise place.error(f"rows of shape {list(tensor.shape[1:])} can differ in size; a choice needs fixed sizes")
