"""What tests of every folder may ask for: one running platform per session, a database, a certificate."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from aimass.database.engine import Database, open_database
from aimass.database.migrate import migrate
from aimass.testing.running import RunningPlatform, running

if TYPE_CHECKING:
    from tests.gateway.telemetry.collector import Collector
    from tests.runtimes.sentence_models import SentenceModel

settings.register_profile("any machine", deadline=None)  # a test never checks how fast this hardware is
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def spans() -> "Iterator[Collector]":
    """What the shared platform sends its spans to: those of calls whose callers ask for it."""
    from tests.gateway.telemetry.collector import collecting

    with collecting() as made:
        yield made


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory, spans: "Collector") -> Iterator[RunningPlatform]:
    """A whole platform, started by ``aimass up`` and shared by the session. Leave its settings as they are."""
    home = tmp_path_factory.mktemp("platform") / "home"
    with running(home, otlp_endpoint=spans.url, otlp_sample=0) as started:
        yield started


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> "SentenceModel":
    """A small random sentence model, converted once."""
    for package in ("torch", "transformers"):
        pytest.importorskip(package, reason=f"needs {package}: pip install -e '.[text]'")
    from tests.runtimes.sentence_models import make_model

    return make_model(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """With all tables, in a folder that was not there before."""
    opened = open_database(f"sqlite:///{tmp_path}/home/aimass.db")
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signed itself, and its key."""
    cert, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(secret), "-out", str(cert)]
    subprocess.run([*make.split(), *more], check=True, capture_output=True)
    return cert, secret
