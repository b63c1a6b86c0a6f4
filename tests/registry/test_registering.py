"""Versions and aliases on a real database: numbers, histories, refusals and what they say."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimass.core.errors import Conflict, Invalid, NotFound
from aimass.core.ids import AccountId, Digest
from aimass.database.tables import AccountRow
from aimass.registry import aliases, catalog, versions
from aimass.registry.manifest import Lineage
from aimass.testing.registry import SmallRegistry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SmallRegistry]:
    small = SmallRegistry(tmp_path)
    yield small
    small.close()


def move(registry: SmallRegistry, ref: str, number: int | None, why: str = "test") -> aliases.AliasMove:
    with registry.database.session() as session:
        return aliases.move(session, ref, number, who="me", why=why, clock=registry.clock)


def remove(registry: SmallRegistry, name: str, number: int, *referenced: str) -> None:
    with registry.database.session() as session:
        versions.remove(session, name, number, referenced, registry.clock)


def test_versions_count_up_and_come_back_as_they_were(registry: SmallRegistry) -> None:
    manifest = registry.manifest(b"first")
    registry.clock.advance(5)
    first, second = registry.register("forest", manifest), registry.register("forest")
    assert (first.ref, second.ref) == ("forest@1", "forest@2")
    with registry.database.reading() as session:
        assert versions.get(session, "forest", 1) == first == aliases.resolve(session, "forest@1")
        assert first.manifest == manifest
        assert first.created_at == registry.clock.now()
        assert versions.list_versions(session, "forest") == [first, second]


def test_what_does_not_exist_is_not_found_and_says_what_does(registry: SmallRegistry) -> None:
    registry.register("forest")
    registry.register("linear")
    with registry.database.reading() as session:
        with pytest.raises(NotFound, match=r"forest@7 does not exist; versions of forest: 1") as caught:
            aliases.resolve(session, "forest@7", "graph.nodes.a.model")
        assert caught.value.field == "graph.nodes.a.model"
        with pytest.raises(NotFound, match=r"no model is named 'oak'; there are: forest, linear"):
            aliases.resolve(session, "oak@1")
        with pytest.raises(NotFound, match=r"forest has no alias 'champion' \(it has: none\)"):
            aliases.resolve(session, "forest@champion")
        with pytest.raises(Invalid, match="MODEL@VERSION"):
            aliases.resolve(session, "forest")


def test_half_a_version_is_never_registered(registry: SmallRegistry) -> None:
    good = registry.manifest()
    nowhere = Digest("0" * 64)
    for wrong, error, words in (
        (replace(good, files={"model.onnx": nowhere}), NotFound, rf"model\.onnx \({nowhere}\)"),
        (replace(good, files={"../model.onnx": good.files["model.onnx"]}), Invalid, "plain file name"),
        (replace(good, files={}), Invalid, "at least one file"),
        (replace(good, runtime=""), Invalid, "needs a runtime"),
        (replace(good, kind="oracle"), Invalid, "none of model, transform, ensemble"),
        (replace(good, lineage=Lineage(parents=("scale@1",))), NotFound, "no model is named 'scale'"),
        (replace(good, lineage=Lineage(parents=("scale@best",))), Invalid, "not an alias"),
    ):
        with pytest.raises(error, match=words):
            registry.register("forest", wrong)
    with pytest.raises(Invalid, match="lower-case"):
        registry.register("Forest", good)
    with registry.database.reading() as session:
        assert catalog.list_models(session) == []


def test_an_ensemble_is_its_graph(registry: SmallRegistry) -> None:
    registry.register("forest")
    good = registry.ensemble("forest@1")
    assert registry.register("both", good).manifest.graph == good.graph
    assert good.graph is not None
    for wrong, words in (
        (replace(good, graph=None), "canonical JSON"),
        (replace(good, graph={**good.graph, "more": 1}), "canonical JSON"),
        (replace(good, files={}), "canonical JSON"),
        (replace(good, lineage=Lineage()), "not among its parents"),
    ):
        with pytest.raises(Invalid, match=words):
            registry.register("both", wrong)


def test_a_name_keeps_its_kind_and_its_account(registry: SmallRegistry) -> None:
    registry.register("forest")
    with pytest.raises(Conflict, match="has the kind model, this is of kind transform"):
        registry.register("forest", replace(registry.manifest(), kind="transform"))
    with pytest.raises(Conflict, match="another account"), registry.database.session() as session:
        session.add(AccountRow(id="other", name="other", created_at=0.0))
        session.flush()
        versions.register(session, registry.store, "forest", registry.manifest(), AccountId("other"), registry.clock)


def test_removing(registry: SmallRegistry) -> None:
    registry.register("scale", replace(registry.manifest(), kind="transform"))
    registry.register("forest", registry.manifest(b"f", parents=["scale@1"]))
    registry.register("both", registry.ensemble("forest@1"))
    move(registry, "both@champion", 1)
    for refused, words in (
        (("scale", 1), r"needed by forest@1"),
        (("forest", 1), r"needed by both@1"),
        (("both", 1), r"both@champion; move that alias"),
    ):
        with pytest.raises(Conflict, match=words):
            remove(registry, *refused)
    move(registry, "both@champion", None)
    with pytest.raises(Conflict, match="deployed service"):
        remove(registry, "both", 1, "forest@9", "both@1")
    for name in ("both", "forest", "scale"):
        remove(registry, name, 1)
    with registry.database.reading() as session, pytest.raises(NotFound, match="was removed; versions of both: none"):
        versions.get(session, "both", 1)
    assert registry.register("scale", replace(registry.manifest(), kind="transform")).number == 2


def test_an_alias_moves_on_record(registry: SmallRegistry) -> None:
    for _ in range(3):
        registry.register("forest")
    start = registry.clock.now()
    for number, why in ((1, "first"), (3, "better"), (3, "again"), (1, "worse after all"), (None, "gone")):
        registry.clock.advance(1)
        move(registry, "forest@champion", number, why)
    with registry.database.reading() as session:
        assert [
            (step.previous, step.number, step.who, step.why, step.at - start)
            for step in aliases.history(session, "forest")
        ] == [
            (None, 1, "me", "first", 1),
            (1, 3, "me", "better", 2),
            (3, 1, "me", "worse after all", 4),
            (1, None, "me", "gone", 5),
        ]
        assert aliases.current(session, "forest") == {}


@pytest.mark.parametrize("ref", ["forest@", "forest", "forest@3", "forest@Champion", "forest@-a", "forest@a@b"])
def test_odd_aliases_are_refused(registry: SmallRegistry, ref: str) -> None:
    registry.register("forest")
    with pytest.raises(Invalid) as caught:
        move(registry, ref, 1)
    assert caught.value.field == "alias"


def test_an_alias_needs_its_version(registry: SmallRegistry) -> None:
    registry.register("forest")
    with pytest.raises(NotFound, match="forest@2"):
        move(registry, "forest@champion", 2)
    with pytest.raises(NotFound, match="no alias 'champion'"):
        move(registry, "forest@champion", None)
    with pytest.raises(NotFound, match="no model"):
        move(registry, "oak@champion", 1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y"]), st.integers(1, 3) | st.none())))
def test_aliases_are_what_a_dictionary_would_be(steps: list[tuple[str, str, int | None]]) -> None:
    with TemporaryDirectory() as folder:
        registry = SmallRegistry(Path(folder))
        for model in "ab":
            for _ in range(3):
                registry.register(model)
        oracle: dict[str, dict[str, int]] = {"a": {}, "b": {}}
        for model, alias, number in steps:
            if number is None and alias not in oracle[model]:
                continue
            move(registry, f"{model}@{alias}", number)
            if number is None:
                del oracle[model][alias]
            else:
                oracle[model][alias] = number
        with registry.database.reading() as session:
            assert {model: aliases.current(session, model) for model in "ab"} == oracle
            assert {entry.name: entry.aliases for entry in catalog.list_models(session)} == oracle
            for model, known in oracle.items():
                for alias, number in known.items():
                    assert aliases.resolve(session, f"{model}@{alias}").number == number
        registry.close()


def test_the_catalog(registry: SmallRegistry) -> None:
    registry.register("linear")
    for _ in range(3):
        registry.register("forest")
    remove(registry, "forest", 3)
    move(registry, "forest@champion", 2)
    with registry.database.reading() as session:
        listed = catalog.list_models(session)
        assert [(entry.name, entry.versions, entry.latest, entry.aliases) for entry in listed] == [
            ("forest", 2, 2, {"champion": 2}),
            ("linear", 1, 1, {}),
        ]
        detail = catalog.show(session, "forest")
        assert detail.entry == listed[0]
        assert [version.number for version in detail.versions] == [1, 2]
        assert [step.number for step in detail.history] == [2]
        with pytest.raises(NotFound, match="forest, linear"):
            catalog.show(session, "oak")
