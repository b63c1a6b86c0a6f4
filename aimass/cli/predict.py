"""``aimass predict``: rows or a picture to a service, its answer back."""

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimass.cli import terminal
from aimass.core.errors import Invalid

if TYPE_CHECKING:
    from aimass.client.prediction import Prediction
    from aimass.core.batch import Array, Batch
    from aimass.core.signature import TensorSpec


def add_to(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: aimass predict digits --image three.png · aimass predict digits --rows rows.json · "
        "echo '[[0, 1, ...]]' | aimass predict digits"
    )(predict)


def predict(
    service: Annotated[str, typer.Argument(help="The service to call.")],
    image: Annotated[Path | None, typer.Option(help="A picture, for a service that takes one.")] = None,
    rows: Annotated[
        Path | None,
        typer.Option(help="JSON: a list of rows, or an object of lists by input name; - is standard input."),
    ] = None,
    revision: Annotated[int | None, typer.Option(min=1, help="This revision instead of the one in traffic.")] = None,
    deadline_ms: Annotated[int | None, typer.Option(min=1, help="Give up after so many milliseconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The answer as JSON.")] = False,
) -> None:
    """Call a service with rows or a picture and print its answer."""
    from aimass.client.client import Client

    if image is not None and rows is not None:
        raise Invalid("--image and --rows exclude each other; give one")
    with Client() as client:
        specs = client.inputs(service, revision)
        picture: Array | None = None
        inputs: Batch
        if image is not None:
            picture, inputs = _read_image(image, specs)
        else:
            inputs = read_rows(_read_text(rows), specs)
        answer = client.predict(service, inputs, revision=revision, deadline_ms=deadline_ms)
    if as_json:
        terminal.write_json(as_plain(answer))
    else:
        show(answer, picture)


def read_rows(document: str, specs: "tuple[TensorSpec, ...]") -> "Batch":
    """JSON rows as the service's inputs; null stands for a missing value."""
    import numpy as np

    from aimass.core.signature import NUMPY

    try:
        data = json.loads(document)
    except ValueError as error:
        raise Invalid(f"the rows are not JSON: {error}", "rows") from None
    if isinstance(data, dict) and isinstance(data.get("inputs"), list):
        raise Invalid("that is a request body; give the rows alone, as in [[0, 1, 2]]", "rows")
    if not isinstance(data, dict):
        if len(specs) != 1:
            raise Invalid(
                f"the service takes {', '.join(spec.name for spec in specs)}; give an object of lists", "rows"
            )
        data = {specs[0].name: data}
    known = {spec.name: spec for spec in specs}
    batch = {}
    for name, values in data.items():
        spec = known.get(name)
        try:
            with np.errstate(over="raise"):
                batch[name] = np.array(_without_null(values), NUMPY[spec.datatype] if spec else None)
        except (ValueError, TypeError, ArithmeticError) as error:
            wanted = spec.datatype if spec else "numbers"
            raise Invalid(f"rows of {name!r} are not {wanted}: {_in_words(error)}", name) from None
    return batch


def as_plain(answer: "Prediction") -> dict[str, Any]:
    """The answer as JSON values."""
    return {
        "service": answer.service,
        "revision": answer.revision,
        "plan": answer.plan,
        "request_id": answer.request_id,
        "outputs": {name: plain_values(array) for name, array in answer.items()},
    }


def show(answer: "Prediction", picture: "Array | None" = None) -> None:
    """The answer for a person: a table of rows, or lines beside the picture."""
    if picture is not None:
        terminal.beside(terminal.picture_lines(picture), describe(answer))
        return
    plain = {name: plain_values(array) for name, array in answer.items()}
    count = max((len(values) for values in plain.values()), default=0)
    rows = [[index, *(cell(values[index]) for values in plain.values())] for index in range(count)]
    terminal.table(["row", *plain], rows, "no outputs")
    terminal.say(f"{answer.service} revision {answer.revision}, {answer.plan}, request {answer.request_id}")


def describe(answer: "Prediction") -> list[str]:
    """The first row of an answer in lines: each output, and the likeliest classes where there are probabilities."""
    lines = []
    for name, array in answer.items():
        first = array[0]
        if first.ndim != 1 or first.dtype.kind != "f":
            lines.append(f"{name}: {cell(plain_values(array[:1])[0])}")
        else:
            order = first.argsort()[::-1][:3]
            lines.append(f"{name}: " + ", ".join(f"{index} {100 * float(first[index]):.1f} %" for index in order))
    return [*lines, "", f"{answer.service} revision {answer.revision} ({answer.plan}), request {answer.request_id}"]


def _read_image(path: Path, specs: "tuple[TensorSpec, ...]") -> "tuple[Array, Batch]":
    from aimass.client.pictures import read_row

    spec = next((spec for spec in specs if spec.picture is not None), specs[0])
    row = read_row(path, spec)
    if spec.picture is None:
        raise Invalid(f"input {spec.name!r} takes no pictures", spec.name)
    return row.reshape(spec.picture.height, spec.picture.width), {spec.name: row}


def _read_text(path: Path | None) -> str:
    if path is None or str(path) == "-":
        if sys.stdin.isatty():
            raise Invalid("give --image FILE or --rows FILE, or pipe rows in as JSON")
        return sys.stdin.read()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def _in_words(error: Exception) -> str:
    if isinstance(error, ArithmeticError):
        return "a number is too large"
    return "they differ in length" if "inhomogeneous" in str(error) else str(error)


def _without_null(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    return float("nan") if value is None else value


def plain_values(array: "Array") -> list[Any]:
    return [_plain_value(value) for value in array.tolist()]


def _plain_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_value(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(cell(item) for item in value)
    return f"{value:.3f}" if isinstance(value, float) else terminal.text(value)
