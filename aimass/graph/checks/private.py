"""Private columns of the payload log: each is an input or an output of the service."""

from aimass.graph.places import Place
from aimass.graph.spec import ServiceSpec


def check_private(spec: ServiceSpec, place: Place) -> None:
    """The first name that is neither is an error at its place."""
    if spec.payloads is None:
        return
    known = [*spec.graph.inputs, *spec.graph.outputs]
    private = spec.payloads.private
    for key, names in (("mask", private.mask), ("encrypt", private.encrypt)):
        for index, name in enumerate(names):
            if name not in known:
                there = ", ".join(known)
                raise place.at("payloads", "private", key, index).error(
                    f"{name!r} is neither an input nor an output; there is: {there}"
                )
