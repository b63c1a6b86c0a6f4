"""What a browser sees without a key: a start page, and whether the console is healthy."""

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, PlainTextResponse

import aimass
from aimass.control.context import Context
from aimass.control.status import platform

router = APIRouter(include_in_schema=False)

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>AI Mass</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }}
code {{ background: #8882; padding: .1em .3em }}</style></head>
<body><h1>AI Mass {version}</h1>
<p>This is the control API of the platform in <code>{home}</code>. It needs a key, as the command line has one.</p>
<ul>
<li><a href="/docs">The control API, call by call</a></li>
<li><a href="/api/v1/openapi.json">The same as OpenAPI</a></li>
<li><a href="/-/healthz">Whether the console is healthy</a></li>
<li><a href="{url}/v2/health/ready">Whether the door for calls is ready</a>: calls go to <code>{url}</code></li>
</ul></body></html>
"""


@router.get("/", response_class=HTMLResponse)
def start(request: Request) -> str:
    context: Context = request.app.state.context
    where = platform(context)
    return PAGE.format(version=aimass.__version__, home=escape(where["home"]), url=escape(where["url"]))


@router.get("/-/healthz", response_class=PlainTextResponse)
@router.head("/-/healthz", response_class=PlainTextResponse, include_in_schema=False)  # what load balancers send
def healthy() -> str:
    return "success"
