"""``/models`` and ``/artifacts``: versions, aliases, files."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from aimass.console.access import Admin, GuardedRoute, Publisher, Reader
from aimass.console.bodies import AliasBody, QuantizeBody, SweepBody
from aimass.console.uploads import read_files, read_rows_file
from aimass.control import models as verbs
from aimass.control.models import Upload

router = APIRouter(route_class=GuardedRoute, tags=["models"])
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "properties": {"file": _BYTES["schema"], "check": _BYTES["schema"]}}}
_UPLOAD = {"requestBody": {"content": {"multipart/form-data": _FORM, "application/octet-stream": _BYTES}}}


@router.get("/models", summary="Every model")
def list_models(context: Reader) -> list[dict[str, Any]]:
    return verbs.list_models(context)


@router.get("/models/{name}", summary="One model: versions, aliases, their history")
def show(context: Reader, name: str) -> dict[str, Any]:
    return verbs.show(context, name)


@router.post("/models/{name}/versions", summary="Add a file as the model's next version", openapi_extra=_UPLOAD)
def add(context: Publisher, name: str, files: Annotated[dict[str, Upload], Depends(read_files)]) -> dict[str, Any]:
    """A `.onnx` or `.skops` file, or a sentence model's `.zip`, as the form's `file`, with rows to check a conversion
    on as `check`; or the file as the body, its name in the header `x-filename`. At most AIMASS_MAX_UPLOAD_BYTES."""
    return verbs.add(context, name, files["file"], files.get("check"))


@router.post("/models/{name}/versions/{number}/quantize", summary="Add a sentence model's version in 8 bits")
def quantize(context: Publisher, name: str, number: int, body: QuantizeBody) -> dict[str, Any]:
    """The next version: 8-bit weights, the given one as its parent, in its metrics how well both agree."""
    return verbs.quantize(context, name, number, body.min_cosine)


@router.post("/models/{name}/versions/{number}/halve", summary="Add a version in FP16", openapi_extra=_UPLOAD)
def halve(
    context: Publisher, name: str, number: int, check: Annotated[Upload | None, Depends(read_rows_file)]
) -> dict[str, Any]:
    """The next version: its graph computed in FP16, the given one as its parent, in its metrics how well both agree.
    Rows to compare on as the form's `file`, or as the body; made-up ones without."""
    return verbs.halve(context, name, number, check)


@router.delete("/models/{name}/versions/{number}", summary="Remove a version that nothing needs")
def remove(context: Publisher, name: str, number: int) -> dict[str, Any]:
    return verbs.remove(context, name, number)


@router.put("/models/{name}/aliases/{alias}", summary="Point an alias at a version")
def move_alias(context: Publisher, name: str, alias: str, body: AliasBody) -> dict[str, Any]:
    return verbs.move_alias(context, name, alias, body.version, body.why)


@router.delete("/models/{name}/aliases/{alias}", summary="Take an alias away")
def drop_alias(context: Publisher, name: str, alias: str, why: str = "") -> dict[str, Any]:
    return verbs.move_alias(context, name, alias, None, why)


@router.post("/artifacts/sweep", summary="Delete artifacts that nobody refers to")
def sweep(context: Admin, body: SweepBody) -> dict[str, Any]:
    return verbs.sweep(context, body.dry_run)
