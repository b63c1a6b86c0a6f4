"""Files in a request: ``multipart/form-data`` parts by name, or the raw body with its name in ``x-filename``."""

from collections.abc import Iterator
from email.message import Message

from fastapi import Request

from aimass.control.models import Upload
from aimass.core.errors import Invalid

FORM = "multipart/form-data"


async def read_files(request: Request) -> dict[str, Upload]:
    """The files of the request by the name of their field; a raw body is ``file``."""
    body = await request.body()
    declared = Message()
    declared["content-type"] = request.headers.get("content-type", "")
    if declared.get_content_type() != FORM:
        name = request.headers.get("x-filename", "")
        if not name or not body:
            raise Invalid(f"send the file as {FORM}, or as the body with its name in the header x-filename", "file")
        return {"file": Upload(name, body)}
    boundary = declared.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise Invalid(f"{FORM} has no boundary in its content-type", "file")
    files = {name: upload for name, upload in _parts(body, boundary.encode()) if upload.name}
    if "file" not in files:
        raise Invalid("the form has no file in its field 'file'", "file")
    return files


async def read_rows_file(request: Request) -> Upload | None:
    """The one file of a request that may have none."""
    return (await read_files(request))["file"] if await request.body() else None


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[str, Upload]]:
    """RFC 7578: parts between boundary lines, each a few header lines, an empty line, the bytes."""
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise Invalid("the form was cut off; send it again", "file")
    for piece in pieces[1:-1]:
        head, gap, data = piece.partition(b"\r\n\r\n")
        part = Message()
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                part[name.strip()] = value.strip()
        field = part.get_param("name", header="content-disposition")
        if not gap or not isinstance(field, str):
            raise Invalid("a part of the form has no name", "file")
        yield field, Upload(part.get_filename() or "", data)
