"""``/docs``: the control API call by call, to read and to try; the page and its parts come from this door alone."""

from importlib.resources import files

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response

from aimass.core.errors import NotFound

router = APIRouter(include_in_schema=False)
TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
OWN_ONLY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
)


@router.get("/docs", response_class=HTMLResponse)
def docs(request: Request) -> HTMLResponse:
    script, style, icon = (f"/docs/{name}" for name in TYPES)
    page = get_swagger_ui_html(
        openapi_url=request.app.openapi_url,
        title=request.app.title,
        swagger_js_url=script,
        swagger_css_url=style,
        swagger_favicon_url=icon,
        swagger_ui_parameters={"validatorUrl": None, "tryItOutEnabled": True},  # the validator is on the network
    )
    page.headers["content-security-policy"] = OWN_ONLY
    return page


@router.get("/docs/{name}")
def asset(name: str) -> Response:
    if name not in TYPES:
        raise NotFound(f"nothing is at /docs/{name}; the page is /docs")
    data = (files("fastapi_swagger.resources") / name).read_bytes()
    return Response(data, media_type=TYPES[name], headers={"cache-control": "max-age=86400"})
