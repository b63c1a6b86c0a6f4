"""Clients that number their requests and count every answer; and a model in a deployment of its own to ask."""

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from aimass.testing.faults.beside import calling
from aimass.testing.running import RunningPlatform
from tests.e2e.e2e_kit import scaling_document, write_scaling


@dataclass
class Numbered:
    """Clients that ask without rest; each request has a number, which its answer must show. ``may_be_cut``: a
    connection may break under a request, which is then ``cut``; else that is wrong."""

    platform: RunningPlatform
    service: str
    factor: float
    answered: list[int] = field(default_factory=list)
    refused: list[tuple[int, int, str]] = field(default_factory=list)  # number, status, kind
    asked: int = 0
    wrong: list[str] = field(default_factory=list)
    stopped: bool = False
    may_be_cut: bool = False
    cut: list[int] = field(default_factory=list)

    async def run(self, clients: int) -> None:
        await asyncio.gather(*(self._ask() for _ in range(clients)))

    async def _ask(self) -> None:
        headers = {"authorization": f"Bearer {self.platform.key}"}
        async with httpx.AsyncClient(base_url=self.platform.url, headers=headers, timeout=60) as client:
            while not self.stopped:
                self.asked += 1
                number = self.asked
                tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [number, 1.0]}
                try:
                    answer = await client.post(f"/v2/models/{self.service}/infer", json={"inputs": [tensor]})
                except httpx.HTTPError as error:
                    if self.may_be_cut and isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
                        self.cut.append(number)
                    else:
                        self.wrong.append(f"{number}: {error!r}")
                    await asyncio.sleep(0.05)
                    continue
                if answer.status_code != 200:
                    self.refused.append((number, answer.status_code, answer.json()["kind"]))
                    await asyncio.sleep(0.05)
                elif answer.json()["outputs"][0]["data"] == [number * self.factor, self.factor]:
                    self.answered.append(number)
                else:
                    self.wrong.append(f"{number}: {answer.text}")


def asking(load: Numbered, clients: int) -> AbstractContextManager[Numbered]:
    """Whoever leaves the block waits for the last answer."""
    return calling(load, load.run(clients))


def deploy_apart(platform: RunningPlatform, folder: Path, service: str, replicas: str, size: int = 1) -> None:
    """A model that multiplies by 3, in a deployment of its own; a larger ``size`` makes it slower."""
    with platform.control() as control:
        added = control.add_model(service, write_scaling(folder / f"{service}.onnx", 3.0, size))
        document = scaling_document(service, f"{service}@{added['number']}", "{deadline_ms: 20000}")
        node = f"scale: {{model: {service}@{added['number']}, inputs: {{x: $in.x}}"
        document = document.replace(node, f"{node}, placement: fanout, replicas: {replicas}")
        assert control.deploy(document + "placement: fanout\n")["plan"] == "fanout"
