"""How each trial ended, passed on while Tune works."""

from pathlib import Path
from typing import Any

from ray import tune

from aimass.training.experiment import Progress
from aimass.training.search import SCORE


class Teller(tune.Callback):  # type: ignore[misc]  # Ray is untyped here
    """Tells ``progress`` of each trial; Tune pickles its callbacks, and this one forgets whom it tells."""

    def __init__(self, progress: Progress) -> None:
        self._progress: Progress | None = progress

    def __getstate__(self) -> dict[str, Any]:
        return {"_progress": None}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        result = trial.last_result or {}
        if SCORE in result:
            self._tell({"kind": "trial", **trial.config, "metrics": result["values"], "seconds": result["seconds"]})

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        file = Path(trial.error_file or "")  # written by now; what ``trial.get_error`` reads comes later
        error = last_line(file.read_text(encoding="utf-8")) if file.is_file() else "for an unknown reason"
        self._tell({"kind": "trial_failed", **trial.config, "error": error})

    def _tell(self, event: dict[str, Any]) -> None:
        if self._progress is not None:
            self._progress(event)


def last_line(text: str) -> str:
    """Where a traceback says what happened."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else text
