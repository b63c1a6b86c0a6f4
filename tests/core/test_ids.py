"""Names and references: what is taken, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.errors import Invalid
from aimass.core.ids import check_name, new_id, parse_ref

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(names)
def test_dns_labels_are_names(name: str) -> None:
    assert check_name(name, "model") == name


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "a b", "ä", "a\n", "a" * 64, "../a", "a@1", "٣"]
)
def test_others_are_not(name: str) -> None:
    with pytest.raises(Invalid, match="service name") as caught:
        check_name(name, "service", "service")
    assert caught.value.field == "service"


@given(names, st.integers(0, 10**9))
def test_versions(name: str, number: int) -> None:
    assert parse_ref(f"{name}@{number}") == (name, number)


@given(names, st.from_regex(r"[a-z][a-z0-9-]*", fullmatch=True))
def test_aliases(name: str, alias: str) -> None:
    assert parse_ref(f"{name}@{alias}") == (name, alias)


@pytest.mark.parametrize(
    "ref", ["", "digits", "digits@", "@1", "digits@1@2", "digits@-1", "Digits@1", "digits@Best", "d @1"]
)
def test_odd_references(ref: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_ref(ref, "graph.nodes.a.model")
    assert caught.value.field == "graph.nodes.a.model"


def test_ids_differ() -> None:
    ids = {new_id("run") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(item.startswith("run-") and len(item) == 16 for item in ids)
