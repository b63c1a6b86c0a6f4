"""The house style that a machine can hold: sizes, names, a docstring per module, plugin key = file name."""

import ast
import importlib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for folder in ("aimass", "tests", "benchmarks", "deployments")
    for path in (ROOT / folder).rglob("*.py")
    if "migrations/versions" not in path.as_posix()
)
OURS = [path for path in SOURCES if path.is_relative_to(ROOT / "aimass")]
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "constants"}
MAX_FILE_LINES = 400
MAX_PLUGIN_LINES = 150
MAX_BASE_LINES = 100
MAX_FOLDER_FILES = 12
EXTENSION_POINTS = sorted(
    path.parent for path in (ROOT / "aimass").rglob("base.py") if (path.parent / "__init__.py").exists()
)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_file_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_module_says_what_it_holds(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), "a module starts with a sentence on what is here"


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports them by their names alone: of two, the second cannot be collected beside the first."""
    names = [path.name for path in SOURCES if path.name.startswith("test_") and path.is_relative_to(ROOT / "tests")]
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize("path", OURS, ids=_name)
def test_name_says_something(path: Path) -> None:
    assert path.stem not in BANNED
    assert path.parent.name not in BANNED


@pytest.mark.parametrize("path", OURS, ids=_name)
def test_functions_are_typed(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.returns is not None, f"{node.name} has no return type"


@pytest.mark.parametrize("path", [path for path in OURS if path.name == "__init__.py"], ids=_name)
def test_package_face_reexports_nothing(path: Path) -> None:
    if path.parent.name in ("aimass", "client"):  # what users import
        return
    imports = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)]
    assert not imports, "import from the defining module instead"


def test_folders_are_small() -> None:
    for folder in {path.parent for path in OURS}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= MAX_FOLDER_FILES, f"{_name(folder)} holds {len(files)} files"


@pytest.mark.parametrize("folder", EXTENSION_POINTS, ids=_name)
def test_extension_point_has_the_one_shape(folder: Path) -> None:
    package = importlib.import_module(_name(folder).replace("/", "."))
    tables = [value for name, value in vars(package).items() if name.isupper() and isinstance(value, dict)]
    assert len(tables) == 1, "__init__.py holds the table and nothing else"
    assert len((folder / "base.py").read_text().splitlines()) <= MAX_BASE_LINES
    for key, target in tables[0].items():
        module, _, attribute = target.partition(":")
        assert module.rpartition(".")[2] == key, f"{key} must live in a file of its name"
        assert len((ROOT / (module.replace(".", "/") + ".py")).read_text().splitlines()) <= MAX_PLUGIN_LINES
        assert hasattr(importlib.import_module(module), attribute)
