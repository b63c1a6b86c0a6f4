"""Models as verbs: files in, aliases moved, nothing removed that somebody needs, nothing swept that is referred to."""

import json

import numpy as np
import pytest

from aimass.control import deploy, models
from aimass.control.models import Upload
from aimass.core.errors import Conflict, Invalid
from aimass.testing.desk import Desk, service_document, times


def test_a_file_becomes_a_version_that_can_be_deployed(desk: Desk) -> None:
    added = models.add(desk.context, "triple", Upload("somewhere/model.onnx", times(3.0)))
    assert (added["ref"], added["kind"]) == ("triple@1", "model")
    assert set(added["profile"]["times_us"]) == {"1", "8", "32", "128"}
    deploy.deploy(desk.context, service_document("triple@1"))
    assert desk.answer("twice") == (1, 3.0)
    assert json.loads(json.dumps(models.show(desk.context, "triple")))["versions"][0] == json.loads(json.dumps(added))
    with pytest.raises(Invalid, match="not a valid ONNX model"):
        models.add(desk.context, "triple", Upload("model.onnx", b"nonsense"))
    assert [item["name"] for item in models.list_models(desk.context)] == ["double", "triple"]


def test_a_version_in_fp16_can_be_deployed_as_any_other(desk: Desk) -> None:
    models.add(desk.context, "triple", Upload("model.onnx", times(3.0)))
    made = models.halve(desk.context, "triple", 1, Upload("rows.json", b"[[1, 2], [3, 4]]"))
    assert (made["ref"], made["lineage"]["parents"], made["metrics"]["agreement_rows"]) == ("triple@2", ["triple@1"], 2)
    deploy.deploy(desk.context, service_document("triple@2"))
    assert desk.answer("twice") == (1, 3.0)


@pytest.mark.parametrize(
    ("name", "data"), [("r.json", b"[[1, 2], [10000000.1, 4]]"), ("r.csv", b"1,2\n10000000.1,4\n")]
)
def test_rows_to_check_on_are_tables_of_numbers(name: str, data: bytes) -> None:
    assert models.read_rows(Upload(name, data)).tolist() == [[1.0, 2.0], [10000000.1, 4.0]]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        *(("r.json", data) for data in (b"", b"{}", b"[1, 2]", b"[[1], [2, 3]]", b'[["a"]]', b"[]")),
        *(("r.json", data) for data in (b"[" * 100_000, b"[[1" + b"0" * 400 + b"]]")),
        *(("r.csv", data) for data in (b"", b"a,b\n", b"\xff\xfe")),
        ("r.npy", b"\x93NUMPY"),
        ("r.pickle", b""),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt:UserWarning")
def test_anything_else_is_refused(name: str, data: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        models.read_rows(Upload(name, data))
    assert caught.value.field == "check"


def test_aliases_move_with_their_history(desk: Desk) -> None:
    desk.register("double", 4.0)
    models.move_alias(desk.context.by("ann", desk.context.account), "double", "champion", 1, "it was better")
    shown = models.show(desk.context, "double")
    assert shown["aliases"] == {"champion": 1}
    last = shown["history"][-1]
    assert (last["who"], last["why"], last["previous"], last["number"]) == ("ann", "it was better", 2, 1)
    models.move_alias(desk.context, "double", "champion", None, "")
    assert models.show(desk.context, "double")["aliases"] == {}


def test_a_version_in_service_or_before_it_cannot_be_removed(desk: Desk) -> None:
    deploy.deploy(desk.context, service_document("double@1"))
    deploy.deploy(desk.context, service_document(desk.register("double", 4.0)))
    for number in (1, 2):
        if number == 2:
            models.move_alias(desk.context, "double", "champion", None, "")
        with pytest.raises(Conflict, match="part of a deployed service"):
            models.remove(desk.context, "double", number)
    deploy.undeploy(desk.context, "twice")
    models.remove(desk.context, "double", 1)
    assert [item["number"] for item in models.show(desk.context, "double")["versions"]] == [2]


def test_a_sweep_takes_what_nobody_refers_to_and_nothing_else(desk: Desk) -> None:
    context, store = desk.context, desk.context.store
    lost = store.put(b"nobody refers to this")
    deploy.deploy(context, service_document("double@1", placement="merged"))
    deploy.deploy(context, service_document(desk.register("double", 4.0), placement="merged"))
    needed = set(store.digests()) - {lost}
    assert models.sweep(context, dry_run=True) == {"artifacts": 1, "bytes": 21, "deleted": False}
    assert store.has(lost)
    assert models.sweep(context, dry_run=False)["deleted"]
    assert set(store.digests()) == needed
    assert models.sweep(context, dry_run=False)["artifacts"] == 0
    desk.pusher.replicas[0].plans.clear()
    assert deploy.rollback(context, "twice").revision == 1
    assert np.allclose(desk.answer("twice"), (1, 2.0))
    deploy.undeploy(context, "twice")
    assert models.sweep(context, dry_run=False)["artifacts"] > 0, "merged plans of a service that is gone"
