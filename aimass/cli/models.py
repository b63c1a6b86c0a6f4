"""``aimass models``: the registry."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from aimass.cli import terminal
from aimass.core.errors import Invalid

app = typer.Typer(
    help="Models: list, show, add a file, quantize, halve, alias, remove, sweep artifacts.", no_args_is_help=True
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The model's name.")]


def add_to(main: typer.Typer) -> None:
    main.add_typer(app, name="models", epilog="Example: aimass models show digits-forest")


@app.command("list", epilog="Example: aimass models list --json")
def list_models(as_json: Json = False) -> None:
    """List every model with its versions and aliases."""
    from aimass.client.control import Control

    with Control() as control:
        found = control.models()
    if as_json:
        terminal.write_json(found)
        return
    columns = ["model", "kind", "versions", "latest", "aliases", "made"]
    terminal.table(columns, [_row(item) for item in found], "no models yet; make some with: aimass train recipe.yaml")


@app.command(epilog="Example: aimass models show digits-ensemble")
def show(name: Name, as_json: Json = False) -> None:
    """Show one model: its versions, what they score and cost, and how its aliases moved."""
    from aimass.client.control import Control

    with Control() as control:
        found = control.model(name)
    if as_json:
        terminal.write_json(found)
        return
    columns = ["version", "runtime", "metrics", "µs at 1 / 8 / 32 / 128 rows", "MiB", "run", "made"]
    terminal.table(columns, [_version_row(item) for item in found["versions"]], "no versions")
    moves = [
        [
            terminal.when(item["at"]),
            item["alias"],
            item["previous"],
            item["number"] or "taken away",
            item["who"],
            item["why"],
        ]
        for item in found["history"]
    ]
    terminal.say()
    terminal.table(["moved", "alias", "from", "to", "who", "why"], moves, "no aliases yet")


@app.command(
    epilog="Examples: aimass models add churn model.onnx · aimass models add churn model.skops --check rows.json · "
    "aimass models add minilm FOLDER"
)
def add(
    name: Name,
    path: Annotated[
        Path,
        typer.Argument(
            help="A .onnx file, a scikit-learn model as .skops, or a sentence-embedding model's Hugging Face folder."
        ),
    ],
    check: Annotated[
        Path | None, typer.Option(help="Rows (.json, .csv or .npy) on which a converted model must agree.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Register a file that you have as the next version of a model.

    A Hugging Face folder is converted here (which needs the extra `text`: PyTorch and transformers) and compared on the
    platform.
    """
    from aimass.client.control import Control

    if check is not None and path.is_dir():
        raise Invalid("a Hugging Face folder brings its own texts to compare on; leave out --check", field="check")
    with Control() as control, _packed(path, as_json) as file:
        added = control.add_model(name, file, check)
    _say_added(added, as_json)


@app.command(epilog="Example: aimass models quantize minilm@1")
def quantize(
    ref: Annotated[str, typer.Argument(help="MODEL@VERSION of a sentence model.")],
    min_cosine: Annotated[
        float | None, typer.Option(help="Refuse if a sample text's two vectors are further apart; 0.95 unless given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Register a version in 8 bits as the model's next version, with how well both agree."""
    from aimass.client.control import Control

    model, number = read_version(ref)
    with Control() as control:
        added = control.quantize(model, number, min_cosine)
    _say_added(added, as_json)


@app.command(epilog="Examples: aimass models halve net@1 · aimass models halve net@1 --check rows.json")
def halve(
    ref: Annotated[str, typer.Argument(help="MODEL@VERSION.")],
    check: Annotated[
        Path | None, typer.Option(help="Rows (.json, .csv or .npy) on which both must agree; else made-up ones.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Register a version in FP16, for GPUs, as the model's next version, with how well both agree."""
    from aimass.client.control import Control

    model, number = read_version(ref)
    with Control() as control:
        added = control.halve(model, number, check)
    _say_added(added, as_json)


@app.command(epilog="Example: aimass models alias digits-forest@3 champion --why 'better on the new data'")
def alias(
    ref: Annotated[str, typer.Argument(help="MODEL@VERSION; with --drop only MODEL.")],
    name: Annotated[str, typer.Argument(help="The alias to move.")],
    why: Annotated[str, typer.Option(help="Kept in the history.")] = "",
    drop: Annotated[bool, typer.Option("--drop", help="Take the alias away.")] = False,
) -> None:
    """Move an alias to a version, or take it away."""
    from aimass.client.control import Control

    with Control() as control:
        if drop:
            model = ref.partition("@")[0]
            control.drop_alias(model, name)
            terminal.say(f"{model} has no alias {name} any more.")
            return
        model, number = read_version(ref)
        control.move_alias(model, name, number, why)
    terminal.say(f"{model}@{name} is {ref} now. Services keep what they deployed; deploy again to take it.")


@app.command(epilog="Example: aimass models remove digits-forest@1")
def remove(ref: Annotated[str, typer.Argument(help="MODEL@VERSION.")]) -> None:
    """Remove a version that no alias and no service needs."""
    from aimass.client.control import Control

    model, number = read_version(ref)
    with Control() as control:
        control.remove_version(model, number)
    terminal.say(f"Removed {ref}. Its artifacts go with: aimass models sweep")


@app.command(epilog="Example: aimass models sweep --dry-run")
def sweep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False, as_json: Json = False
) -> None:
    """Delete artifacts that nobody refers to."""
    from aimass.client.control import Control

    with Control() as control:
        swept = control.sweep(dry_run)
    if as_json:
        terminal.write_json(swept)
        return
    verb = "would be deleted" if dry_run else "deleted"
    terminal.say(f"{terminal.count(swept['artifacts'], 'artifact')}, {swept['bytes'] / 1e6:.1f} MB {verb}.")


@contextmanager
def _packed(path: Path, as_json: bool) -> Iterator[Path]:
    """The file to send: a folder is made one."""
    if not path.is_dir():
        yield path
        return
    from aimass.runtimes.text.huggingface import pack_folder

    with TemporaryDirectory() as folder:
        archive = Path(folder) / f"{path.resolve().name}.zip"
        with nullcontext() if as_json else terminal.step(f"Convert {path} to ONNX"):
            pack_folder(path, archive)
        yield archive


def _say_added(added: dict[str, Any], as_json: bool) -> None:
    if as_json:
        terminal.write_json(added)
        return
    ref = added["ref"]
    for name, value in added["metrics"].items():
        terminal.say(f"{name.replace('_', ' ')}: {terminal.text(value)}")
    terminal.say(f"Registered {ref}. Point an alias at it: aimass models alias {ref} champion")


def read_version(ref: str) -> tuple[str, int]:
    """Model and number of ``digits-forest@3``; an alias is refused."""
    from aimass.core.ids import parse_ref

    model, which = parse_ref(ref)
    if not isinstance(which, int):
        raise Invalid(f"{ref!r} names an alias; a version is a number, as in {model}@1")
    return model, which


def _row(item: dict[str, Any]) -> list[Any]:
    pointing = [f"{alias} → {number}" for alias, number in item["aliases"].items()]
    return [item["name"], item["kind"], item["versions"], item["latest"], pointing, terminal.when(item["created_at"])]


def _version_row(item: dict[str, Any]) -> list[Any]:
    profile = item.get("profile") or {}
    times = [f"{float(value):,.0f}" for value in (profile.get("times_us") or {}).values()]
    memory = profile.get("memory_bytes")
    return [
        item["number"],
        item["runtime"] or item["kind"],
        [f"{name} {terminal.text(value)}" for name, value in item["metrics"].items()],
        " / ".join(times),
        f"{memory / 2**20:.1f}" if memory else "",
        (item.get("lineage") or {}).get("run", ""),
        terminal.when(item["created_at"]),
    ]
