"""What a stranger sees first: the example trained unless it is deployed, one real picture sent, and how to go on."""

from pathlib import Path
from typing import TYPE_CHECKING

from aimass.cli import terminal
from aimass.core.errors import AimassError, Invalid

if TYPE_CHECKING:
    from aimass.client.control import Control
    from aimass.core.batch import Array
    from aimass.core.home import Home
    from aimass.core.platform_file import PlatformFile
    from aimass.core.signature import TensorSpec


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

    deployed = [item["name"] for item in control.services()]
    if service in deployed:
        terminal.say(f"Restored what was deployed: {', '.join(deployed)}. Nothing was trained.")
        return
    trained = [run for run in control.runs() if run["recipe"] == _name_of(recipe) and run["status"] == "succeeded"]
    if not trained:
        terminal.say(f"Training {folder / 'recipe.yaml'} as a run; the next start does not train again.")
        run = watch(control, control.train(recipe, str(folder / "recipe.yaml"), Path.cwd())["id"])
        if run["status"] != "succeeded":
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
    """Sends the folder's first picture, prints the answer beside it, and how to send it otherwise."""
    from aimass.cli.predict import describe
    from aimass.client.client import Client

    path = next(iter(sorted(folder.glob("*.png"))), None)
    if path is None:
        return
    with Client(file.url) as client:
        row = client.picture(service, path)
        spec = client.inputs(service)[0]
        answer = client.predict(service, row)
    terminal.say(f"\n{path}, as {service} sees it, and what it answers:\n")
    drawn = row[0]
    if spec.picture:
        drawn = row.reshape(spec.picture.height, spec.picture.width)
    terminal.beside(terminal.picture_lines(drawn), describe(answer))
    _say_how_to_call(file, home, service, path, _body(spec, row))


def _body(spec: "TensorSpec", row: "Array") -> str:
    """The row as a request body to paste, its numbers rounded to what one reads."""
    digits = 0 if float(abs(row).max()) > 4 else 2
    values = ", ".join(f"{float(value):.{digits}f}" for value in row.ravel())
    return (
        f'{{"inputs": [{{"name": "{spec.name}", "datatype": "{spec.datatype}", '
        f'"shape": {list(row.shape)}, "data": [{values}]}}]}}'
    )


def _say_how_to_call(file: "PlatformFile", home: "Home", service: str, path: Path, body: str) -> None:
    trust = f" --cacert {file.tls_cert}" if file.tls_cert else ""
    terminal.say(f"""
From a shell:
  aimass predict {service} --image {path}
  curl -s{trust} {file.url}/v2/models/{service}/infer -H "Authorization: Bearer $(cat {home.key_file})" -d '{body}'

From Python:
  from aimass.client import Client
  client = Client()
  print(client.predict("{service}", client.picture("{service}", "{path}"))["label"])

The key lies in {home.key_file} (mode 600).""")
