"""The network itself: three convolutions over a square picture, and one linear layer."""

from math import isqrt

import numpy as np
import torch
from torch import Tensor, nn

from aimass.core.batch import Array
from aimass.core.errors import Invalid


class PictureNetwork(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """FP32 [rows, side * side] → logits [rows, classes]; centring and scaling are part of it."""

    centre: Tensor
    spread: Tensor

    def __init__(self, columns: int, classes: int, width: int) -> None:
        super().__init__()
        self.side = isqrt(columns)
        if self.side**2 != columns or self.side < 2:
            raise Invalid(f"cnn wants square pictures, row by row; {columns} columns are none")
        layers: list[nn.Module] = []
        side, channels = self.side, 1
        for wider in (width, 2 * width, 2 * width):
            layers += [nn.Conv2d(channels, wider, 3, padding=1), nn.ReLU()]
            channels = wider
            if side >= 4 and wider > width:
                layers.append(nn.MaxPool2d(2))
                side //= 2
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side * side, classes))
        self.register_buffer("centre", torch.zeros(1))
        self.register_buffer("spread", torch.ones(1))

    def forward(self, rows: Tensor) -> Tensor:
        pictures = ((rows - self.centre) / self.spread).reshape(-1, 1, self.side, self.side)
        logits: Tensor = self.layers(pictures)
        return logits


class ServedNetwork(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """What is exported: the label and the probabilities of every class."""

    def __init__(self, network: PictureNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(rows)
        return logits.argmax(dim=1), logits.softmax(dim=1)


def start_network(rows: Array, classes: int, width: int, seed: int) -> PictureNetwork:
    """An untaught network whose weights the seed says; it centres and scales as these rows need it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = PictureNetwork(rows.shape[1], classes, width)
    exact = rows.astype(np.float64)
    network.centre.fill_(float(exact.mean()))
    network.spread.fill_(float(exact.std()) or 1.0)
    return network
