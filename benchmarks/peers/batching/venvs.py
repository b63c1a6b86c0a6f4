"""A venv for each of the others, made once from its pinned requirements: ``python -m benchmarks.peers.batching.venvs``.

They lie under ``.bench/venvs`` (git ignores it; some 2 GB), and are made again when a requirement has changed.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.server import ROOT, PeerError

REQUIREMENTS = Path(__file__).with_name("requirements")
VENVS = ROOT / ".bench" / "venvs"
STAMP = "requirements.sha256"


def names() -> list[str]:
    """All that have requirements."""
    return sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))


def program(name: str, command: str) -> str:
    """A program of the venv; ``PeerError`` where the venv has not been made from what the requirements are now."""
    if not _is_made(name):
        raise PeerError(f"the venv of {name} is not there; make it: python -m benchmarks.peers.batching.venvs {name}")
    return str(VENVS / name / "bin" / command)


def make(name: str) -> None:
    """The venv, unless it is there. One that pip gave up half-way is not taken for made."""
    if _is_made(name):
        return
    print(f"Installing {name} into .bench/venvs (some minutes the first time)", flush=True)
    folder, source = VENVS / name, REQUIREMENTS / f"{name}.txt"
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, "--no-deps", "--requirement", str(source)]):
        if subprocess.run(command, check=False).returncode:
            raise PeerError(f"the venv of {name} could not be made; what went wrong stands above")
    (folder / STAMP).write_text(_digest(name))


def _is_made(name: str) -> bool:
    stamp = VENVS / name / STAMP
    return stamp.is_file() and stamp.read_text() == _digest(name)


def _digest(name: str) -> str:
    return hashlib.sha256((REQUIREMENTS / f"{name}.txt").read_bytes()).hexdigest()


if __name__ == "__main__":
    try:
        for asked in sys.argv[1:] or names():
            make(asked)
    except PeerError as error:
        sys.exit(str(error))
