"""Files in requests: what httpx and curl send arrives byte by byte; what is cut off is refused."""

from typing import Any

import httpx
import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from aimass.console.uploads import read_files
from aimass.control.models import Upload
from aimass.core.errors import Invalid

NAMELESS = b"--b\r\ncontent-disposition: form-data\r\n\r\nabc\r\n--b--"


def request_of(made: httpx.Request, body: bytes | None = None) -> Request:
    content = made.read() if body is None else body

    async def receive() -> Any:
        return {"type": "http.request", "body": content, "more_body": False}

    headers = [(name.lower(), value) for name, value in made.headers.raw]
    return Request({"type": "http", "headers": headers, "method": "POST", "path": "/"}, receive)


@given(st.binary(max_size=300), st.binary(max_size=20))
async def test_a_form_arrives_byte_by_byte(data: bytes, rows: bytes) -> None:
    files = {"file": ('größe ".onnx', data), "check": ("r.json", rows)}
    found = await read_files(request_of(httpx.Request("POST", "http://a", files=files, data={"why": "no file"})))
    assert {name: upload.data for name, upload in found.items()} == {"file": data, "check": rows}
    assert found["check"] == Upload("r.json", rows)
    assert found["file"].name.endswith(".onnx")


async def test_a_raw_body_has_its_name_in_a_header() -> None:
    made = httpx.Request("POST", "http://a", content=b"abc", headers={"x-filename": "m.onnx"})
    assert await read_files(request_of(made)) == {"file": Upload("m.onnx", b"abc")}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"abc"),
        ({"x-filename": "m.onnx"}, b""),
        ({"content-type": "multipart/form-data"}, b"abc"),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            NAMELESS,
        ),
        ({"content-type": "multipart/form-data; boundary=b"}, b"--b--"),
        ({"content-type": "multipart/form-data; boundary=b"}, b""),
    ],
)
async def test_anything_else_is_refused(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        await read_files(request_of(httpx.Request("POST", "http://a", headers=headers), body))
    assert caught.value.field == "file"


@given(st.integers(min_value=0, max_value=150))
async def test_a_form_that_was_cut_off_is_refused(length: int) -> None:
    made = httpx.Request("POST", "http://a", files={"file": ("m.onnx", b"0123456789")})
    with pytest.raises(Invalid):
        await read_files(request_of(made, made.read()[:length]))
