"""Manifests survive JSON, keep their digest, and predict times as by hand."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimass.core.errors import Invalid
from aimass.core.ids import Digest, canonical_json
from aimass.core.signature import Datatype, Picture, Signature, TensorSpec
from aimass.registry.manifest import FORMAT, Lineage, Manifest, Profile

names = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)
figures = st.floats(allow_nan=False, allow_infinity=False)
specs = st.builds(
    TensorSpec,
    names,
    st.sampled_from(Datatype),
    st.lists(st.integers(-1, 99), max_size=3).map(lambda rest: (-1, *rest)),
    st.booleans(),
    st.none() | st.builds(Picture, st.integers(1, 99), st.integers(1, 99)),
)
manifests = st.builds(
    Manifest,
    kind=st.sampled_from(["model", "transform", "ensemble"]),
    runtime=names,
    files=st.dictionaries(names, names.map(Digest)),
    signature=st.builds(Signature, st.lists(specs).map(tuple), st.lists(specs).map(tuple)),
    metrics=st.dictionaries(names, figures),
    data_hash=names,
    lineage=st.builds(
        Lineage, names, names, names, names, st.lists(names).map(tuple), st.dictionaries(names, st.text(max_size=9))
    ),
    profile=st.none()
    | st.builds(
        Profile,
        names,
        st.just({1: 5.25, 8: 9.5}),
        st.just({1: 6.0, 8: 11.0}),
        st.integers(0, 2**40),
    ),
    description=st.text(max_size=20),
    graph=st.none() | st.just({"nodes": {}, "outputs": {"y": "a.y"}}),
)


@given(manifests)
def test_survives_json(manifest: Manifest) -> None:
    again = Manifest.from_json(json.loads(json.dumps(manifest.to_json())))
    assert again == manifest
    assert again.digest == manifest.digest


@given(manifests, names)
def test_a_change_changes_the_digest(manifest: Manifest, more: str) -> None:
    assert replace(manifest, description=manifest.description + more).digest != manifest.digest


def test_canonical_json_by_hand() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "ü", "c": None}) == '{"a":"ü","b":[1,2.5],"c":null}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})


@pytest.mark.parametrize("number", [None, 0, FORMAT + 1, "1"])
def test_another_format_is_refused(number: Any) -> None:
    with pytest.raises(Invalid, match="format") as caught:
        Manifest.from_json({"format": number})
    assert caught.value.field == "format"


@pytest.mark.parametrize(
    ("rows", "us"), [(0, 10.0), (1, 10.0), (8, 24.0), (2, 12.0), (20, 48.0), (32, 72.0), (128, 264.0), (1128, 2264.0)]
)
def test_times_between_and_beyond_what_was_measured(rows: int, us: float) -> None:
    """Measured on the line 8 + 2 · rows, so every prediction lies on it, too."""
    times = {1: 10.0, 8: 24.0, 32: 72.0, 128: 264.0}
    profile = Profile("here", times, {rows: 2 * time for rows, time in times.items()}, 0)
    assert profile.time_us(rows) == pytest.approx(us)
    assert profile.p95_time_us(rows) == pytest.approx(2 * us)


def test_more_rows_never_take_less_beyond_the_last_measure() -> None:
    profile = Profile("noisy", {1: 10.0, 8: 30.0, 32: 25.0}, {1: 1.0}, 0)
    assert profile.time_us(1000) == 25.0
    assert profile.p95_time_us(1000) == 1.0


def test_a_lone_call_takes_so_much_more_whatever_its_rows() -> None:
    profile = Profile("here", {1: 10.0, 8: 24.0}, {1: 1.0}, 0, lone_us=25.0)
    assert (profile.lone_time_us(1), profile.lone_time_us(8)) == (25.0, 39.0)
    assert Profile.from_json(profile.to_json()) == profile
    old = {key: value for key, value in profile.to_json().items() if key != "lone_us"}
    assert Profile.from_json(old).lone_time_us(8) == 24.0, "of a version that was measured before"
