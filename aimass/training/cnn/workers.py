"""One lesson learnt by several processes of Ray Train; a checkpoint per epoch, from which it goes on after a loss."""

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import train
from ray.train.torch import TorchTrainer

from aimass.core.errors import Invalid, Unavailable
from aimass.training.cnn.learning import Lesson, State, learn
from aimass.training.cnn.meeting import FileMeeting
from aimass.training.cnn.network import PictureNetwork
from aimass.training.site import Site

LOSSES = 3  # of workers, until a training is given up
STARTS = 5  # of Ray Train's own waits for room, a minute each
KEPT = 2  # checkpoints
STATE_FILE, DIARY_FILE = "state.pt", "diary.jsonl"
LOOK_S = 0.2
POLL_S = 0.5  # how often Ray Train asks its workers; an epoch lasts no shorter


def learn_together(lesson: Lesson, workers: int, cpus: float, site: Site) -> PictureNetwork:
    """What the workers ended with, read from the last checkpoint; ``cpus`` are Ray's, of each.

    ``Unavailable`` when workers were lost too often, or found no room.
    """
    shared = min(lesson.batch, len(lesson.rows))
    if shared < workers:
        raise Invalid(f"{site.name}: {workers} workers cannot share a batch of {shared} rows; take fewer workers")
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", str(POLL_S))
    folder = site.folder / "training" / site.name
    folder.mkdir(parents=True)
    diary = folder / DIARY_FILE
    diary.touch()
    trainer = TorchTrainer(
        Work(lesson),
        torch_config=FileMeeting(folder=str(folder)),
        scaling_config=train.ScalingConfig(num_workers=workers, resources_per_worker={"CPU": cpus}),
        run_config=train.RunConfig(
            name="checkpoints",
            storage_path=str(folder),
            failure_config=train.FailureConfig(max_failures=LOSSES, controller_failure_limit=STARTS),
            checkpoint_config=train.CheckpointConfig(num_to_keep=KEPT),
            callbacks=[Diary(diary, site.name, lesson.epochs)],
            logging_config=train.LoggingConfig(log_level="ERROR"),
        ),
    )
    try:
        result = _watched(trainer.fit, diary, site.progress)
    except train.TrainingFailedError as error:
        reason = str(error).strip().splitlines()[-1]
        raise Unavailable(f"{site.name}: its training was given up; {reason}; train again") from error
    network = lesson.network()
    network.load_state_dict(_read(result.checkpoint)["network"])
    shutil.rmtree(folder)
    return network


@dataclass(frozen=True)
class Work:
    """What every worker does."""

    lesson: Lesson

    def __call__(self) -> None:
        context = train.get_context()
        rank, workers = context.get_world_rank(), context.get_world_size()
        last = train.get_checkpoint()

        def report(epochs: int, loss: float, state: Callable[[], State]) -> None:
            metrics = {"epochs": epochs, "loss": loss, "pid": os.getpid()}
            if rank:
                train.report(metrics)
                return
            with tempfile.TemporaryDirectory() as folder:
                torch.save(state(), Path(folder) / STATE_FILE)
                train.report(metrics, train.Checkpoint.from_directory(folder))

        learn(self.lesson, rank=rank, workers=workers, state=None if last is None else _read(last), after_epoch=report)


class Diary(train.UserCallback):  # type: ignore[misc]  # Ray is untyped here
    """Lives with Ray Train's controller, in another process than the run: writes down what the run is to tell."""

    def __init__(self, file: Path, model: str, epochs: int) -> None:
        self._file, self._model, self._epochs, self._done = file, model, epochs, 0

    def after_report(self, run_context: Any, metrics: Sequence[Mapping[str, Any]], checkpoint: Any) -> None:
        self._done = metrics[0]["epochs"]
        self._write(
            {
                "kind": "epoch",
                "epoch": self._done,
                "epochs": self._epochs,
                "loss": sum(each["loss"] for each in metrics),
                "pids": [each["pid"] for each in metrics],
            }
        )

    def after_exception(self, run_context: Any, worker_exceptions: Mapping[int, Exception]) -> None:
        lost = {rank: type(error).__name__ for rank, error in worker_exceptions.items()}
        self._write({"kind": "workers_lost", "epoch": self._done, "lost": lost})

    def _write(self, event: dict[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**event, "model": self._model}) + "\n")


def _read(checkpoint: Any) -> State:
    with checkpoint.as_directory() as folder:
        state: State = torch.load(Path(folder) / STATE_FILE, weights_only=True)
    return state


def _watched(fit: Callable[[], Any], diary: Path, progress: Callable[[dict[str, Any]], None]) -> Any:
    """``fit`` in a thread, for Ray Train would take the main one's signals; what the diary says is told here.

    Whatever ``progress`` raises ends the watch; the workers end with this process's part of Ray.
    """
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(fit())
        except BaseException as error:  # noqa: BLE001  raised again where the result is asked for
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    with diary.open(encoding="utf-8") as file:
        while True:
            ended = bool(wait_for([done], LOOK_S).done)
            for line in file:
                progress(json.loads(line))
            if ended:
                return done.result()
