"""Pictures of services: of what is deployed, and of documents as they would be."""

import onnx
import pytest

from aimass.control import deploy as verbs
from aimass.control.revisions import drawing
from aimass.core.errors import Conflict, DocumentError, NotFound
from aimass.testing.desk import Desk, service_document, times


def test_of_what_is_deployed(desk: Desk) -> None:
    verbs.deploy(desk.context, service_document("double@1"))
    drawn = drawing.draw(desk.context, "twice")
    assert (drawn["service"], drawn["revision"], drawn["plan"]) == ("twice", 1, "merged")
    assert [(box["key"], box["what"], box["runs"]) for box in drawn["boxes"]] == [
        ("$in.x", "FP32 [-1, 2]", ""),
        ("m", "double@1", "merged"),
        ("$out.y", "FP32 [-1, 2]", ""),
    ]
    verbs.undeploy(desk.context, "twice")
    with pytest.raises(Conflict, match="not deployed"):
        drawing.draw(desk.context, "twice")
    with pytest.raises(NotFound):
        drawing.draw(desk.context, "thrice")


def test_of_a_document(desk: Desk) -> None:
    drawn = drawing.draw_document(desk.context, service_document("double@1", placement="fused"))
    assert (drawn["revision"], drawn["plan"], drawn["why"]) == (None, "fused", "")
    assert [box["runs"] for box in drawn["boxes"]] == ["", "fused", ""]
    with pytest.raises(DocumentError, match=r"double@7|has no version"):
        drawing.draw_document(desk.context, service_document("double@7"))


def test_of_a_document_that_no_plan_can_hold(desk: Desk) -> None:
    desk.register("straight", 1.0, straight_through())
    drawn = drawing.draw_document(desk.context, service_document("straight@1", placement="merged"))
    assert (drawn["plan"], drawn["why"]) == (
        *("", "twice: merged: node 'm' (straight@1) passes an input straight through"),
    )
    assert [(box["key"], box["runs"]) for box in drawn["boxes"]] == [("$in.x", ""), ("m", ""), ("$out.y", "")]


def straight_through() -> bytes:
    """A model that gives its input back, which no merged graph can hold."""
    model = onnx.load_model_from_string(times(2.0))
    model.graph.output.append(model.graph.input[0])
    return bytes(model.SerializeToString())
