"""The doctor's judgement: facts by hand, findings in words; and one real look at this machine."""

import hashlib
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from aimass.control import deploy
from aimass.control.keys import ensure_first_key
from aimass.control.platform.checks import Finding, Level, check_home, check_tls, judge, refuse_if_bad, unknown_settings
from aimass.control.platform.doctor import examine
from aimass.control.platform.machine import MIB, Machine, look
from aimass.core.errors import Invalid, Unavailable
from aimass.core.home import Home
from aimass.core.settings import Settings
from aimass.testing.desk import open_desk, service_document, times

GOOD = Machine(
    python="3.11.7",
    system="Linux",
    cpus=2,
    memory_available=8192 * MIB,
    shared_memory_free=4096 * MIB,
    home_writable="",
    home_free=8192 * MIB,
    temporary_free=8192 * MIB,
    packages={"ray": "2.60.0"},
)
HOME, TEMPORARY = Path("/srv/.aimass"), Path("/tmp")


def test_a_good_machine_is_let_through() -> None:
    findings = judge(GOOD, HOME, TEMPORARY)
    assert {finding.level for finding in findings} == {Level.OK}
    refuse_if_bad(findings)


@pytest.mark.parametrize(
    "fault, says",
    [
        ({"python": "3.10.2"}, "python: 3.10.2 on Linux; AI Mass needs Python 3.11"),
        ({"packages": {"ray": ""}}, "packages: not installed: ray; run: make up"),
        (
            {"home_writable": "Read-only file system"},
            "home: cannot write to /srv/.aimass: Read-only file system; choose another folder",
        ),
        ({"home_writable": "No space left on device"}, "home: .*No space left on device; free some space, or choose"),
        ({"home_free": 3 * MIB}, "disk of the home: 3 MiB free for /srv/.aimass; at least 512 MiB are needed"),
        ({"temporary_free": 0}, "disk for Ray's logs and sockets: 0 MiB free for /tmp; at least"),
        ({"memory_available": 700 * MIB}, "memory: 700 MiB available, 2 cores; at least 2,048 MiB are needed"),
        ({"shared_memory_free": 64 * MIB}, "/dev/shm: 64 MiB free; at least 256 MiB are needed.*--shm-size=1g"),
    ],
)
def test_a_fault_is_refused_with_figures_and_the_way_out(fault: dict[str, object], says: str) -> None:
    with pytest.raises(Unavailable, match=says):
        refuse_if_bad(judge(replace(GOOD, **fault), HOME, TEMPORARY))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gpus", "no_cuda", "level", "says"),
    [
        (0, "", Level.OK, "none; models run on the CPU"),
        (2, "", Level.OK, "2, for nodes that ask for `gpus`"),
        (1, "not found: libcudnn.so.9; install", Level.WARN, "1, which onnxruntime cannot use: not found: libcudnn"),
    ],
)
def test_gpus_are_named_with_what_they_are_for(gpus: int, no_cuda: str, level: Level, says: str) -> None:
    found = next(
        item for item in judge(replace(GOOD, gpus=gpus, no_cuda=no_cuda), HOME, TEMPORARY) if item.what == "GPUs"
    )
    assert found.level == level
    assert says in found.says


def test_a_misspelt_setting_is_named() -> None:
    known = ["AIMASS_HOME", "AIMASS_PORT", "AIMASS_KEY", "AIMASS_RAY_DIR", "PATH"]
    assert unknown_settings(known) == []
    near, far = unknown_settings([*known, "AIMASS_XYZ", "AIMASS_CONTROLPORT"])
    assert (near.says, near.mend) == (
        "AIMASS_CONTROLPORT is no setting and does nothing",
        "did you mean AIMASS_CONTROL_PORT?",
    )
    assert "AIMASS_TLS_CERT" in far.mend


def test_unknown_figures_warn_but_do_not_refuse() -> None:
    blind = replace(GOOD, memory_available=-1, shared_memory_free=-1, home_free=-1, temporary_free=-1)
    findings = judge(blind, HOME, TEMPORARY)
    assert Level.WARN in {finding.level for finding in findings}
    refuse_if_bad(findings)


@pytest.mark.parametrize("home", [Path("/proc/aimass"), Path("/dev/null/aimass")])
def test_a_home_that_cannot_be_written_is_refused_by_name(home: Path) -> None:
    with pytest.raises(Unavailable, match=f"cannot write to {home}"):
        check_home(home)


def test_tls_files_are_looked_at_before_anything_starts(tmp_path: Path) -> None:
    cert, key, junk = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "junk.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    subprocess.run([*make.split(), "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    junk.write_text("junk")
    check_tls(cert, key)
    with pytest.raises(Invalid, match=f"AIMASS_TLS_KEY: cannot read {tmp_path}/none: No such file"):
        check_tls(cert, tmp_path / "none")
    for pair in ((junk, key), (cert, junk)):
        with pytest.raises(Invalid, match=f"AIMASS_TLS_CERT {pair[0]} and AIMASS_TLS_KEY {pair[1]} are no"):
            check_tls(*pair)


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    facts = look(tmp_path / "home", tmp_path)
    assert (facts.home_writable, facts.packages["ray"][:2]) == ("", "2.")
    assert facts.home_free > 0
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_names_who_holds_the_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings = Settings(home=Home(tmp_path / "home"), port=port)
        finding = next(finding for finding in examine(settings) if finding.what == f"port {port}")
    assert finding.level == Level.BAD
    assert "taken by pid " in finding.says


def _said(settings: Settings, what: str) -> list[Finding]:
    return [finding for finding in examine(settings) if finding.what.startswith(what)]


def test_the_doctor_names_services_and_the_artifacts_that_fail_them(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        assert [finding.level for finding in _said(desk.settings, "service")] == [Level.OK]
        deploy.deploy(desk.context, service_document("double@1", placement="fused"))
        desk.register("double", 3.0)
        deploy.deploy(desk.context, service_document("double@2", placement="fused"))
        (fine,) = _said(desk.settings, "service")
        assert (fine.level, fine.says) == (Level.OK, "1 deployed, their artifacts are whole")
        model = hashlib.sha256(times(3.0)).hexdigest()
        path = desk.settings.home.artifacts / model[:2] / model[2:]
        path.chmod(0o600)
        path.write_bytes(b"broken")
        (bad,) = _said(desk.settings, "service")
        assert (bad.what, bad.level) == ("service twice, revision 2", Level.BAD)
        assert f"model.onnx: artifact {model} is corrupted" in bad.says
        path.unlink()
        (gone,) = _said(desk.settings, "service")
        assert f"artifact {model} is missing" in gone.says
        deploy.rollback(desk.context, "twice")
        assert _said(desk.settings, "service")[0].level == Level.OK, "what nobody needs is nobody's fault"


def test_the_doctor_misses_a_key_that_was_there(tmp_path: Path) -> None:
    with open_desk(tmp_path) as desk:
        home = desk.settings.home
        assert [finding.level for finding in _said(desk.settings, "key")] == [Level.OK]
        home.key_file.unlink()
        (gone,) = _said(desk.settings, "key")
        assert (gone.level, gone.says) == (Level.WARN, f"{home.key_file} is gone, and commands here have no key")
        assert "aimass up writes a new admin key" in gone.mend
        assert ensure_first_key(desk.settings)
        assert [finding.level for finding in _said(desk.settings, "key")] == [Level.OK]


def test_the_doctor_minds_a_home_that_others_may_enter(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    settings = Settings(home=Home(tmp_path))
    assert [(finding.level, finding.mend) for finding in _said(settings, "home")][-1:] == [
        (Level.WARN, f"run: chmod 700 {tmp_path}")
    ]
    tmp_path.chmod(0o700)
    assert Level.WARN not in {finding.level for finding in _said(settings, "home")}


def test_the_doctor_minds_the_mode_of_the_key(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.key_file.write_text("aim_secret")
    home.key_file.chmod(0o644)
    finding = next(finding for finding in examine(Settings(home=home)) if finding.what == "key")
    assert (finding.level, finding.mend) == (Level.WARN, f"run: chmod 600 {home.key_file}")
