"""Where the platform is and with which key: arguments, else the environment, else the home of the current folder."""

import os
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from aimass.core.errors import Invalid, Unavailable
from aimass.core.home import Home, find_home
from aimass.core.platform_file import PlatformFile, read_platform_file


@dataclass(frozen=True)
class Connection:
    """How to reach one platform. ``url`` may be empty: then the control API is asked for it."""

    url: str  # the door for calls
    control_url: str
    key: str
    verify: ssl.SSLContext | bool = True  # how an HTTPS server is trusted

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries: the key, if there is one. Packing an answer would cost more than sending it."""
        return {"accept-encoding": "identity", **({"authorization": f"Bearer {self.key}"} if self.key else {})}


def pinned(certificate: str) -> ssl.SSLContext | bool:
    """Trusts exactly this certificate, whatever name it carries; an empty path means the system's trust."""
    if not certificate:
        return True
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def find_connection(url: str | None = None, key: str | None = None, home: Home | None = None) -> Connection:
    """``AIMASS_URL`` (the control API's) and ``AIMASS_KEY``, else what the home's platform.json and key say.

    The home's key is never sent to another machine than the home's own platform.
    """
    home = home or find_home()
    local = read_platform_file(home.platform_file)
    control_url = _checked(url or os.environ.get("AIMASS_URL", ""), "AIMASS_URL")
    key = key or os.environ.get("AIMASS_KEY", "")
    if control_url and (local is None or control_url != local.control_url):
        return Connection("", control_url, key)
    if local is None:
        raise Unavailable(
            f"no platform runs from {home.path}; start it with: aimass up, or set AIMASS_URL and AIMASS_KEY"
        )
    if not local.ready:
        raise Unavailable(f"the platform of {home.path} is not up yet; look again in some seconds: aimass doctor")
    return _local(local, home, key)


def find_calls(url: str | None, key: str | None) -> Connection:
    """The connection for calls; ``url`` is that door's, and the home's key goes only to the home's own."""
    if url is None:
        return find_connection(key=key)
    home = find_home()
    local = read_platform_file(home.platform_file)
    url = _checked(url, "url")
    key = key or os.environ.get("AIMASS_KEY", "")
    return _local(local, home, key) if local is not None and local.url == url else Connection(url, "", key)


def _checked(url: str, name: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise Invalid(f"{name} is {url!r}; write it as in http://127.0.0.1:8002", name)
    return url.rstrip("/")


def _local(local: PlatformFile, home: Home, key: str) -> Connection:
    return Connection(local.url, local.control_url, key or read_key(home), pinned(local.tls_cert))


def read_key(home: Home) -> str:
    """The key that lies in the home; empty if there is none."""
    try:
        return home.key_file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
