"""Choices, policies and placements that cannot be are refused with line and field."""

import pytest

from aimass.core.errors import DocumentError, Invalid
from aimass.core.policies import NodePolicy, NodeScale
from tests.graph.registered import WHOLE, check_scaling, graph_from, one_model

NODE = "graph.nodes."
BIG = "      placement: fanout\n"


def line_of(text: str, words: str) -> int:
    """The line on which ``words`` stand."""
    return text[: text.index(words)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "on", "field", "says"),
    [
        # kinds and keys
        ("cascade: [small", "waterfall: [small", "waterfall:", "gate.waterfall", "unknown key"),
        ("{transform: digits-scale@1,", "{", "scale: {", "scale", "one of model, transform, combine, switch, cascade"),
        ("{transform: digits-scale@1", "{model: a@1, transform: b@1", "scale: {", "scale", "is model and transform"),
        ("thresholds: [0.9, 0.8]", "threshold: 0.9\n      weights: [1]", "gate:", "gate", "'weights' does not belong"),
        ("quorum: 1", "required: false", "vote:", "vote", "'required' does not belong to a combine node"),
        ("on_missing: renormalise", "placement: fanout", "vote:", "vote", "a combine node calls nothing"),
        # cascades
        ("[0.9, 0.8]", "[0.9]", "thresholds:", "gate.thresholds", "1 of them for 3 members"),
        ("[0.9, 0.8]", "[0.9, 1.1]", "thresholds:", "gate.thresholds.1", "less than or equal to 1"),
        ("[0.9, 0.8]", "[0, 0.8]", "thresholds:", "gate.thresholds.0", "greater than 0"),
        ("thresholds: [0.9, 0.8]", "threshold: 7", "threshold:", "gate.threshold", "less than or equal to 1"),
        ("      thresholds: [0.9, 0.8]\n", "", "gate:", "gate", "needs a threshold"),
        ("[1.5, 1]", "[1.5]", "temperatures:", "gate.temperatures", "1 of them for 3 members"),
        ("[1.5, 1]", "[1.5, 0]", "temperatures:", "gate.temperatures.1", "greater than 0"),
        (", large.probabilities]", ", $in.image]", "cascade:", "gate.cascade.2", "[-1, 64] differs"),
        (", large.probabilities]", ", large.label]", "cascade:", "gate.cascade.2", "not INT64 [-1]"),
        (", large.probabilities]", ", small.probabilities]", "cascade:", "gate.cascade", "stands in it 2 times"),
        (", large.probabilities]", ", huge.probabilities]", "cascade:", "gate.cascade.2", "no node 'huge'"),
        ("[small.probabilities, meta.probabilities, large.probabilities]", "[]", "cascade:", "gate.cascade", "least 2"),
        # switches
        ("      else: {chances: vote.probabilities, best: vote.label}\n", "", "route:", "route", "needs an `else`"),
        ("best: vote.label}", "}", "else:", "route.else", "'else' gives chances; '0' gives best, chances"),
        ("best: gate.label}", "}", "cases:", "route.cases", "'-1' gives chances; '0' gives best, chances"),
        ("best: vote.label}", "best: vote.chance}", "else:", "route.else.best", "has no output 'chance'"),
        ("best: vote.label}", "best: vote.probabilities}", '"-1":', "route.cases.-1.best", "every branch gives"),
        ("best: gate.label}", "best: $in.image}", '"-1":', "route.cases.-1.best", "INT64 [-1] in `else`"),
        ('"-1":', '"one":', '"one":', "route.cases.one", "not a value of datatype INT64"),
        ('"-1":', '"00":', '"00":', "route.cases.00", "given twice"),
        ('"-1":', '"else":', "cases:", "route.cases", "`else` stands beside the cases"),
        ('"-1":', '"9223372036854775808":', '"92', "route.cases.9223372036854775808", "not a value of datatype"),
        ("datatype: INT64, shape: [-1]", "datatype: FP32, shape: [-1]", "switch:", "route.switch", "not FP32"),
        ("datatype: INT64, shape: [-1]", "datatype: INT64, shape: [-1, 3]", "switch:", "route.switch", "not [-1, 3]"),
        ("datatype: INT64, shape: [-1]", "datatype: BOOL, shape: [-1]", '"0":', "route.cases.0", "datatype BOOL"),
        ("switch: $in.kind", "switch: kind", "switch:", "route.switch", "NODE.OUTPUT"),
        # combiners
        ("quorum: 1", "quorum: 3", "quorum:", "vote.quorum", "a quorum of 3 among 2 inputs"),
        ("quorum: 1", "quorum: 0", "quorum:", "vote.quorum", "greater than or equal to 1"),
        ("on_missing: renormalise", "on_missing: fail", "on_missing:", "vote.on_missing", "the quorum only 1"),
        ("on_missing: renormalise", "on_missing: guess", "on_missing:", "vote.on_missing", "'renormalise' or 'fail'"),
        ("combine: weighted\n      weights: [0.6, 0.4]", "combine: stack", "quorum:", "vote.quorum", "says nothing"),
        ("[small.probabilities, big", "[big.probabilities, big", "[big", "vote.inputs", "stands in it 2 times"),
        ("combine: weighted", "combine: sum", "combine: sum", "vote.combine", "unknown 'sum'"),
        # stacking
        ("      model: digits-meta@1\n", "", "meta:", "meta", "stacking needs a model"),
        ("digits-meta@1", "digits-forest@1", "model: digits-forest@1\n      inputs: [small", "meta.model", "[-1, 64]"),
        ("digits-meta@1", "digits-scale@1", "model: digits-scale@1\n", "meta.model", "no model with one input"),
        ("stacking\n", "stacking\n      quorum: 1\n", "meta:", "meta", "'quorum' does not belong to a stacking"),
        # fallbacks
        ("fallback: prior", "fallback: nobody", "fallback:", "big.fallback", "no node 'nobody'"),
        ("fallback: prior", "fallback: big", "fallback:", "big.fallback", "big ← big"),
        ("fallback: prior", "fallback: meta", "fallback:", "big.fallback", "needs what it stands in for"),
        ("fallback: prior", "fallback: scale", "fallback:", "big.fallback", "'scale' has no output 'label'"),
        # sizes and times
        ("deadline_ms: 50", "deadline_ms: 0", "deadline_ms:", "big.deadline_ms", "greater than 0"),
        ("deadline_ms: 50", "deadline_ms: 20", "hedge_after_ms:", "big.hedge_after_ms", "never starts"),
        ("retries: 1", "retries: 11", "retries:", "big.retries", "less than or equal to 10"),
        ("failures: 3", "failures: 0", "breaker:", "big.breaker.failures", "greater than or equal to 1"),
        ("{min: 0, max: 4", "{min: 5, max: 4", "replicas:", "big.replicas", "at most 4 replicas"),
        ("gpus: 0.5", "gpus: -1", "gpus:", "big.gpus", "greater than or equal to 0"),
        ("policy: queue_length", "policy: mood", "replicas:", "big.replicas", "unknown 'mood'"),
        (BIG, "", "replicas:", "big.replicas", "'replicas' is for a node with `placement: fanout`"),
        ("x: scale.y}}", "x: scale.y}, gpus: 1}", "small: {", "small.gpus", "'gpus' is for a node with"),
        # who may be lost
        ("quorum: 1\n      on_missing: renormalise", "", "required:", "big.required", "nothing on the way"),
        ("label: route.best", "label: route.best\n    own: big.label", "required:", "big.required", "output 'own'"),
        # placements by request
        ("x: scale.y}}", "x: scale.y}, placement: merged, retries: 1}", "small: {", "small.retries", "one call"),
        ("digits-linear@2, inputs: {x: scale.y}", "digits-torch@1, inputs: {x: scale.y}, placement: merged",
         "small: {", "small.placement", "runs by 'torch', not by onnx"),
    ],
)  # fmt: skip
def test_the_fault_is_named_with_line_and_field(old: str, new: str, on: str, field: str, says: str) -> None:
    assert old in WHOLE
    text = WHOLE.replace(old, new, 1)
    with pytest.raises(DocumentError) as caught:
        graph_from(text)
    assert says in str(caught.value)
    assert (caught.value.field, caught.value.line) == (NODE + field, line_of(text, on))
    graph_from(WHOLE)


def test_a_placement_of_the_service_counts_for_every_node() -> None:
    text = WHOLE.replace(BIG, "").replace("      gpus: 0.5\n", "")
    text = "".join(line for line in text.splitlines(keepends=True) if "replicas:" not in line)
    with pytest.raises(DocumentError, match="a merged node is part of one call") as caught:
        graph_from(text + "placement: merged\n")
    assert caught.value.field == f"{NODE}big.breaker"
    torch = one_model("digits-torch@1") + "placement: merged\n"
    with pytest.raises(DocumentError, match=r"runs by 'torch'") as caught:
        graph_from(torch)
    assert (caught.value.field, caught.value.line) == ("placement", 6)


def test_replicas_of_the_service_are_those_of_fanned_out_nodes() -> None:
    text = one_model("digits-quorum@1") + "replicas: {min: 2}\n"
    graph = graph_from(text + "placement: fanout\n")
    assert [node.scale for node in graph.nodes] == [NodeScale(min=2, max=2), NodeScale(min=2, max=2), None]
    for placement in ("", "placement: merged\n", "placement: fused\n"):
        with pytest.raises(DocumentError, match=r"no node is placed as fanout|one call") as caught:
            graph_from(text + placement)
        assert caught.value.line


@pytest.mark.parametrize("key", ["retries: 1", "required: false", "fallback: all", "deadline_ms: 3"])
def test_an_ensemble_has_no_policy_of_its_own(key: str) -> None:
    text = one_model("digits-ensemble@1").replace("{x: $in.image}}", f"{{x: $in.image}}, {key}}}")
    with pytest.raises((DocumentError, Invalid), match=r"several nodes; say which|stands in for") as caught:
        graph_from(text)
    assert caught.value.field == f"{NODE}all.{key.partition(':')[0]}"


def test_an_ensemble_may_be_placed_as_a_whole() -> None:
    said = "{x: $in.image}, placement: fanout, replicas: {max: 3}, gpus: 1}"
    text = one_model("digits-ensemble@1").replace("{x: $in.image}}", said)
    graph = graph_from(text)
    calls = [node for node in graph.nodes if node.ref]
    assert {node.placement for node in calls} == {"fanout"}
    assert {node.scale for node in calls} == {NodeScale(max=3, gpus=1.0)}
    assert (graph.nodes[-1].kind, graph.nodes[-1].placement, graph.nodes[-1].scale) == ("combine", "", None)
    with pytest.raises(DocumentError, match="'gpus' is for"):
        graph_from(text.replace("placement: fanout, replicas: {max: 3}, ", ""))


def test_the_nodes_of_an_ensemble_may_be_told_how_to_run() -> None:
    said = """{x: $in.image}, members: {
      forest: {placement: fanout, replicas: {max: 2}, required: false, fallback: linear},
      vote: {quorum: 1}}}"""
    graph = graph_from(one_model("digits-ensemble@1").replace("{x: $in.image}}", said))
    nodes = {node.name: node for node in graph.nodes}
    assert (nodes["all.forest"].placement, nodes["all.forest"].scale) == ("fanout", NodeScale(max=2))
    assert nodes["all.forest"].policy == NodePolicy(required=False, fallback="all.linear")
    assert (nodes["all.vote"].quorum, nodes["all.linear"].placement) == (1, "")


def test_and_the_nodes_of_an_ensemble_in_it() -> None:
    said = "{x: $in.image}, members: {inner: {members: {svm: {retries: 2}}}, svm: {retries: 1}}}"
    with pytest.raises(DocumentError, match="has no node 'svm'; its nodes: forest, linear, scale, vote"):
        graph_from(one_model("digits-outer@1").replace("{x: $in.image}}", said))
    graph = graph_from(
        one_model("digits-outer@1").replace("{x: $in.image}}", said.replace("{svm: {retries: 2", "{vote: {quorum: 1"))
    )
    nodes = {node.name: node for node in graph.nodes}
    assert (nodes["all.svm"].policy.retries, nodes["all.inner.vote"].quorum) == (1, 1)


@pytest.mark.parametrize(
    ("ref", "members", "field", "says"),
    [
        ("digits-ensemble@1", "{tree: {retries: 1}}", "members.tree", "no node 'tree'; its nodes: forest, linear"),
        ("digits-ensemble@1", "{forest: {quorum: 1}}", "members.forest", "'quorum' does not belong to a model node"),
        ("digits-ensemble@1", "{vote: {quorum: 3}}", "members.vote.quorum", "a quorum of 3 among 2 inputs"),
        ("digits-ensemble@1", "{vote: {weights: [1, 2]}}", "members.vote.weights", "unknown key"),
        ("digits-linear@2", "{forest: {retries: 1}}", "members", "is one model, not an ensemble"),
    ],
)
def test_members_that_cannot_be_told_so(ref: str, members: str, field: str, says: str) -> None:
    text = one_model(ref).replace("{x: $in.image}}", f"{{x: $in.image}}, members: {members}}}")
    with pytest.raises(DocumentError) as caught:
        graph_from(text)
    assert says in str(caught.value)
    assert (caught.value.field, caught.value.line) == (f"{NODE}all.{field}", 4)


def test_scaling_is_asked_for_its_opinion() -> None:
    with pytest.raises(Invalid, match="unknown 'mood'"):
        check_scaling(NodeScale(policy="mood"))


def test_a_stand_in_is_one_node() -> None:
    text = WHOLE.replace("{model: digits-svm@1,", "{model: digits-mixed@1,")
    with pytest.raises(DocumentError, match="by several nodes"):
        graph_from(text)
    whole = graph_from(WHOLE.replace("{model: digits-svm@1,", "{model: digits-ensemble@1,"))
    (big,) = (node for node in whole.nodes if node.name == "big")
    assert big.policy.fallback == "prior.vote"
