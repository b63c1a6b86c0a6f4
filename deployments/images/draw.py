"""Draws what the README shows, from the service that runs: `python deployments/images/draw.py`.

Pictures are of originals that no model has seen. For the members' lines two services of one model each are deployed
for as long as it takes.
"""

from contextlib import ExitStack
from pathlib import Path

import matplotlib as mpl
import numpy as np

from aimass.client import Client, Control
from aimass.data.moved_digits import load_moved_digits
from aimass.data.split import split

mpl.use("agg")
from matplotlib import pyplot as plt

PICTURE = Path(__file__).with_name("images.png")
NOISE = (0, 1, 2, 3, 4, 5, 6)  # added to what the pictures have already
ALONE = """
service: {name}
graph:
  inputs: {{image: {{datatype: FP32, shape: [-1, 64]}}}}
  nodes:
{nodes}
  outputs: {{label: model.label}}
"""
MEMBERS = {
    "cnn": "    model: {model: images-cnn@champion, inputs: {x: $in.image}}",
    "trees": "    features: {transform: images-features@champion, inputs: {x: $in.image}}\n"
    "    model: {model: images-trees@champion, inputs: {x: features.y}}",
}


def main() -> None:
    """Prints the accuracies and writes images.png beside this file."""
    digits = load_moved_digits(20_000, 7)
    unseen = digits.part(split(digits, 0.25, 7).test)
    generator = np.random.default_rng(0)
    noisy = {level: unseen.rows + generator.normal(0, level, unseen.rows.shape).astype(np.float32) for level in NOISE}
    found: dict[str, list[float]] = {}
    with Client() as client, Control() as control, ExitStack() as stack:

        def label(service: str, rows: np.ndarray) -> np.ndarray:
            return np.concatenate([client.predict(service, part)["label"] for part in np.array_split(rows, 10)])

        for name, nodes in MEMBERS.items():
            control.deploy(ALONE.format(name=f"images-{name}-alone", nodes=nodes))
            stack.callback(control.undeploy, f"images-{name}-alone")
        for name, service in {**{name: f"images-{name}-alone" for name in MEMBERS}, "ensemble": "images"}.items():
            found[name] = [float(np.mean(label(service, rows) == unseen.labels)) for rows in noisy.values()]
            print(f"{name:9}" + "".join(f"{value:8.1%}" for value in found[name]))
        shown = generator.choice(len(unseen.rows), 24, replace=False)
        answers = label("images", unseen.rows[shown])

    figure = plt.figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.1, 1))
    for axes, row, wanted, answer in zip(
        left.subplots(4, 6).flat, unseen.rows[shown], unseen.labels[shown], answers, strict=True
    ):
        axes.imshow(row.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        axes.set_title(f"{answer}" if answer == wanted else f"{answer}, is {wanted}", fontsize=9)
        axes.title.set_color("black" if answer == wanted else "crimson")
        axes.axis("off")
    lines = right.subplots()
    for name, values in found.items():
        lines.plot(NOISE, [100 * value for value in values], marker="o", label=name)
    lines.set(xlabel="noise added to a pixel (deviation; ink is 16)", ylabel="right answers, %")
    lines.grid(alpha=0.3)
    lines.legend(frameon=False)
    figure.savefig(PICTURE, dpi=110)
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
