"""Command lines that change one thing about a service's traffic and leave all else as it is."""

import shlex
from typing import Any

from aimass.control.revisions.standing import Standing
from aimass.serving.traffic.base import ALL_PERCENT, BY
from aimass.serving.traffic.making import STICKY, WEIGHTED

FIRST = 5.0  # per cent


def name_split(service: str, now: Standing, revision: int) -> str:
    """``aimass traffic …`` for a revision that is held ready. The one with the most traffic gives of its own; the
    others' shares, who else is held ready, and the policy are said again, for a split leaves out what it does not name.
    """
    if now.main is None:
        return f"aimass traffic {service} {revision}={ALL_PERCENT:g}"
    rest = {number: float(f"{share:.4g}") for number, share in now.weights.items() if number != now.main}
    main = ALL_PERCENT - sum(rest.values())
    first = min(FIRST, float(f"{main / 2:.4g}"))
    shares = {**dict.fromkeys(now.readied, 0.0), **rest, now.main: main - first, revision: first}
    words = [f"{number}={share:.8g}" for number, share in sorted(shares.items())]
    return shlex.join(["aimass", "traffic", service, *words, *_policy(now)])


def name_whole(service: str, now: Standing) -> str:
    """``aimass traffic …`` that gives all of a split to the revision with the most; callers that stick go on to."""
    words = [f"{number}=0" for number in sorted(now.readied)]
    rest = _policy(now) if now.policy == STICKY else []
    return shlex.join(["aimass", "traffic", service, f"{now.main}={ALL_PERCENT:g}", *words, *rest])


def _policy(now: Standing) -> list[str]:
    if now.policy == WEIGHTED:
        return []
    by = now.options.get(BY)
    words = [] if now.policy == STICKY else ["--policy", now.policy]
    words += ["--sticky", str(by)] if by else []
    return words + [
        word for name, value in now.options.items() if name != BY for word in ("--option", f"{name}={_text(value)}")
    ]


def _text(value: Any) -> str:
    return ",".join(map(_text, value)) if isinstance(value, list | tuple) else f"{value}"
