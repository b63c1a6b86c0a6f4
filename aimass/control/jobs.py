"""Runs as Ray jobs: the protocol that control needs, and Ray's own job API behind it."""

from typing import Any, Protocol

from aimass.core.errors import Unavailable
from aimass.core.home import Home
from aimass.core.platform_file import read_platform_file

LIVE = ("PENDING", "RUNNING")


class Jobs(Protocol):
    """``Unavailable`` when nobody can be asked."""

    def submit(self, job: str, entrypoint: str, env: dict[str, str]) -> None:
        """Start ``entrypoint`` (a shell line) under this id."""

    def status(self, job: str) -> str:
        """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED; empty: there is no such job."""

    def stop(self, job: str) -> None:
        """Ask the job to end; it is killed if it does not within seconds."""


class RayJobs:
    """Ray's job API on the head's dashboard, which asks for Ray's token; the environment names it."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def submit(self, job: str, entrypoint: str, env: dict[str, str]) -> None:
        self._call("submit_job", submission_id=job, entrypoint=entrypoint, runtime_env={"env_vars": env})

    def status(self, job: str) -> str:
        found = self._call("list_jobs")
        return next((str(item.status.value) for item in found if item.submission_id == job), "")

    def stop(self, job: str) -> None:
        self._call("stop_job", job_id=job)

    def _call(self, method: str, **arguments: object) -> Any:
        from ray.job_submission import JobSubmissionClient
        from requests.exceptions import RequestException

        platform = read_platform_file(self._home.platform_file)
        if platform is None or not platform.ray_dashboard:
            raise Unavailable("no platform runs, so no job can; start it with: aimass up")
        try:
            client = JobSubmissionClient(f"http://{platform.ray_dashboard}")
            return getattr(client, method)(**arguments)
        except (RequestException, RuntimeError, ConnectionError) as error:
            raise Unavailable(f"Ray's job API failed: {error}; aimass doctor may know why", retry_after_s=2) from error
