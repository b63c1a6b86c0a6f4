"""How the workers of one training find each other: over a file beside its checkpoints, never over an open port."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.train.backend import Backend
from ray.train.torch import TorchConfig

from aimass.core.ids import new_id

LOOPBACK = "lo"


@dataclass
class FileMeeting(TorchConfig):  # type: ignore[misc]  # Ray is untyped here
    """torch's own store, which Ray Train starts by itself, listens on every network interface of the machine."""

    backend: str | None = "gloo"
    folder: str = field(default="", kw_only=True)

    @property
    def backend_cls(self) -> type[Backend]:
        return _FileBackend


class _FileBackend(Backend):  # type: ignore[misc]  # Ray is untyped here
    def on_start(self, worker_group: Any, backend_config: FileMeeting) -> None:
        """A file of its own for every start: what was lost has left the old one behind."""
        file = str(Path(backend_config.folder) / new_id("meeting"))
        size = len(worker_group)
        local = ray.util.get_node_ip_address().startswith("127.")
        ray.get([worker_group.execute_single_async(rank, _join, file, rank, size, local) for rank in range(size)])


def _join(file: str, rank: int, size: int, local: bool) -> None:
    import torch.distributed

    if local:  # else gloo takes the interface that the machine's name stands for
        os.environ["GLOO_SOCKET_IFNAME"] = LOOPBACK
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=size)
