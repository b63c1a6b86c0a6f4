"""What a stranger sees first: the example trained unless it is deployed, one real picture sent, and how to go on."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aimass.cli import terminal
from aimass.core.errors import AimassError, Invalid
from aimass.database.run_status import RunStatus

if TYPE_CHECKING:
    from aimass.client.control import Control
    from aimass.core.batch import Array
    from aimass.core.home import Home
    from aimass.core.platform_file import PlatformFile
    from aimass.core.signature import TensorSpec

ROWS = "rows.json"


def show_example(control: "Control", file: "PlatformFile", home: "Home", folder: Path) -> None:
    """Trains, deploys and tries the folder's example; what is there from an earlier time is not done again.

    A failure is told; the platform runs on, so that one can look.
    """
    try:
        recipe, document, service = _read(folder)
        _bring_up(control, folder, recipe, document, service)
        _try_once(folder, service, file, home)
    except AimassError as error:
        terminal.complain(f"{error}")
        terminal.say("The platform runs on, so that you can look: aimass status, aimass runs list, aimass logs")


def _read(folder: Path) -> tuple[str, str, str]:
    """Texts of recipe and service document, and the service's name."""
    from aimass.cli.services import read_document
    from aimass.core.documents import Document

    text = read_document(folder / "service.yaml")
    service = Document(text, str(folder / "service.yaml")).data.get("service")
    if not isinstance(service, str):
        raise Invalid(f"{folder / 'service.yaml'} names no service", "service")
    return read_document(folder / "recipe.yaml"), text, service


def _bring_up(control: "Control", folder: Path, recipe: str, document: str, service: str) -> None:
    from aimass.cli.watch import watch

    deployed = [item["name"] for item in control.services() if item["deployed"]]
    if service in deployed:
        terminal.say(f"Restored what was deployed: {', '.join(deployed)}. Nothing was trained.")
        return
    trained = [
        run for run in control.runs() if run["recipe"] == _name_of(recipe) and run["status"] == RunStatus.SUCCEEDED
    ]
    if not trained:
        terminal.say(f"Training {folder / 'recipe.yaml'} as a run; once that is done, no start trains again.")
        run_id = control.train(recipe, str(folder / "recipe.yaml"), Path.cwd())["id"]
        run = watch(control, run_id, f"{run_id} ends with the platform; the next start trains anew.")
        if run["status"] != RunStatus.SUCCEEDED:
            raise Invalid(
                f"{run['id']} {run['status']}: {run['error'] or 'see its logs'}; aimass runs logs {run['id']}"
            )
    with terminal.step(f"Deploying {folder / 'service.yaml'}"):
        done = control.deploy(document, str(folder / "service.yaml"))
    terminal.say(done["message"])


def _name_of(recipe: str) -> object:
    from aimass.core.documents import Document

    return Document(recipe, "recipe.yaml").data.get("recipe")


def _try_once(folder: Path, service: str, file: "PlatformFile", home: "Home") -> None:
    """Sends the folder's first picture, else its rows.json; prints the answer, and how to send it otherwise."""
    from aimass.cli.predict import describe, read_rows
    from aimass.client.client import Client

    path = next(iter([*sorted(folder.glob("*.png")), *folder.glob(ROWS)]), None)
    if path is None:
        return
    with Client(file.url) as client:
        spec = client.inputs(service)[0]
        if path.name == ROWS:
            row = read_rows(path.read_text(encoding="utf-8"), (spec,))[spec.name]
        else:
            row = client.picture(service, path)
        answer = client.predict(service, row)
    if spec.picture is None:
        terminal.say(f"\nWhat {service} answers to {path}:\n")
        for line in describe(answer):
            terminal.say(f"  {line}")
    else:
        terminal.say(f"\n{path}, as {service} sees it, and what it answers:\n")
        drawn = row[0].reshape(spec.picture.height, spec.picture.width)
        terminal.beside(terminal.picture_lines(drawn), describe(answer))
    _say_how_to_call(file, home, service, path, _body(spec, row))


def _body(spec: "TensorSpec", row: "Array") -> str:
    """The row as a request body to paste, its numbers rounded to what one reads."""
    values = ", ".join(f"{float(value):.4g}" for value in row.ravel())
    return (
        f'{{"inputs": [{{"name": "{spec.name}", "datatype": "{spec.datatype}", '
        f'"shape": {list(row.shape)}, "data": [{values}]}}]}}'
    )


def _say_how_to_call(file: "PlatformFile", home: "Home", service: str, path: Path, body: str) -> None:
    trust = f" --cacert {file.tls_cert}" if file.tls_cert else ""
    flag, python = "image", f'client.picture("{service}", "{path}")'
    if path.name == ROWS:
        flag, python = "rows", f'json.load(open("{path}"))'
    terminal.say(f"""
From a shell{activation()}:
  aimass predict {service} --{flag} {path}
  curl -s{trust} {file.url}/v2/models/{service}/infer -H "Authorization: Bearer $(cat {home.key_file})" -d '{body}'

From Python:
  {"import json; " if flag == "rows" else ""}from aimass.client import Client
  client = Client()
  print(client.predict("{service}", {python})["label"])

The key lies in {home.key_file} (mode 600).""")


def activation() -> str:
    """What to do first where the shell does not find the commands, as after `make up`; PATH was widened for jobs."""
    activate = Path(sys.prefix) / "bin" / "activate"
    if os.environ.get("VIRTUAL_ENV") == sys.prefix or not activate.exists():
        return ""
    nearby = activate.relative_to(Path.cwd()) if activate.is_relative_to(Path.cwd()) else activate
    return f" (first: source {nearby})"
