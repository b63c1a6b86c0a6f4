"""What the doctor sees of services: artifacts that are missing or damaged, and what replicas could not load."""

from collections.abc import Iterator

from sqlalchemy.orm import Session

from aimass.client.control import Control
from aimass.control.platform import leftovers
from aimass.control.platform.checks import Finding, Level
from aimass.control.revisions.standing import standings
from aimass.core.errors import AimassError, Unauthenticated
from aimass.core.home import Home
from aimass.core.settings import Settings
from aimass.database.engine import open_database
from aimass.database.tables import RevisionRow
from aimass.serving.layout import Layout
from aimass.storage.base import ArtifactStore
from aimass.storage.opening import open_store

PATIENCE_S = 10.0


def examine_services(settings: Settings) -> Iterator[Finding]:
    """A finding for each service that is wrong, or one that says none is. Reads every artifact that they need."""
    home = settings.home
    if not home.database.exists():
        return
    database = open_database(settings.database_url)
    try:
        with database.reading() as session:
            found, count = _stored(session, open_store(home))
        found += _loaded(home)
    except AimassError as error:
        yield Finding(
            "services", Level.WARN, f"cannot be looked at: {error.message}", "once that is mended, look again"
        )
        return
    finally:
        database.close()
    if found:
        yield from found
    else:
        yield Finding("services", Level.OK, f"{count} deployed, their artifacts are whole")


def _stored(session: Session, store: ArtifactStore) -> tuple[list[Finding], int]:
    """What is wrong in the store, and how many services are deployed."""
    found: list[Finding] = []
    deployed = {name: now for name, now in standings(session).items() if now.is_deployed}
    for name, now in deployed.items():
        for number in now.kept:
            layout = Layout.from_json(session.get_one(RevisionRow, (name, number)).layout)
            for file, digest in sorted({item for node in layout.nodes for item in node.files.items()}):
                try:
                    store.check(digest)
                except AimassError as error:
                    what, level = f"service {name}, revision {number}", Level.WARN
                    if number in now.weights:
                        level = Level.BAD
                    mend = f"once that is done, replicas load it by themselves; or deploy {name} again"
                    found.append(Finding(what, level, f"{file}: {error.message}", mend))
    return found, len(deployed)


def _loaded(home: Home) -> list[Finding]:
    """What the replicas of a platform that runs say."""
    runs = leftovers.running(home)
    if runs is None or not runs.ready or not home.key_file.exists():
        return []
    try:
        with Control(
            runs.control_url, home.key_file.read_text(encoding="utf-8").strip(), timeout_s=PATIENCE_S
        ) as control:
            services = control.services()
    except Unauthenticated as error:
        mend = "with another admin key make a new one, or: aimass down, then aimass up, which writes one"
        return [Finding("key", Level.BAD, f"the platform does not take the key in {home.key_file}: {error}", mend)]
    return [
        *(
            Finding(
                f"service {item['name']}, revision {item['revision']}",
                Level.BAD,
                f"replicas cannot load it: {reason}",
                f"replicas try again by themselves; or deploy {item['name']} again",
            )
            for item in services
            for reason in item["failed"]
        ),
        *(
            Finding(
                f"service {item['name']}, revision {item['revision']}",
                Level.WARN,
                f"in quarantine: {reason}",
                "it is let out on probation; `placement: fanout` would give it processes of its own",
            )
            for item in services
            for reason in item["held"]
        ),
    ]
