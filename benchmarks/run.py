"""`make bench`: runs what is asked for, writes results, pictures and the README's table."""

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import bench_start, machine, plots
from benchmarks.bench_serving import QUICK, Bench, Options
from benchmarks.load import POINTS, require_wrk
from benchmarks.peers.lineup import LINEUP, PAIR
from benchmarks.report import markdown, replace_block
from benchmarks.results import Measurement, Results, Start
from benchmarks.session import measured
from benchmarks.workloads import WORKLOADS, train

ROOT = Path(__file__).parents[1]
QUESTIONS = ("sweep", "pair", "start")  # asked beside the workloads


def main() -> int:
    """The exit code: 0, or 1 with one line that says what is wrong."""
    arguments = _arguments()
    results = measured(lambda folder: _measure(folder, arguments), require_wrk)
    if results is None:
        return 1
    print("\n" + markdown(results))
    if not (arguments.quick or arguments.only or arguments.peers):
        _publish(results)
    return 0


def _measure(folder: Path, arguments: argparse.Namespace) -> Results:
    options = QUICK if arguments.quick else Options()
    if arguments.rounds:
        options = replace(options, rounds=arguments.rounds)
    chosen = set(arguments.only or [*WORKLOADS, *QUESTIONS])
    peers = {name: LINEUP[name] for name in arguments.peers or LINEUP}
    models = folder / "models"
    models.mkdir()
    before, about = machine.cpu_times(), machine.describe()
    _say("Training the models of the workloads")
    train(models)
    workloads = [workload for name, workload in WORKLOADS.items() if name in chosen]
    bench = Bench(folder, models, workloads, options, _say)
    found: list[Measurement] = []
    start: Start | None = None
    if workloads:
        found += bench.rounds(peers)
        if "sweep" in chosen:
            found += bench.sweep(peers)
        if "pair" in chosen:
            found += bench.pair_rounds(PAIR)
    if "start" in chosen:
        start = bench_start.measure(folder, models, 1 if arguments.quick else 3, _say)
    return Results(
        date=time.strftime("%Y-%m-%d"),
        machine=about,
        options=asdict(options),
        titles={name: peer.title for name, peer in (LINEUP | PAIR).items()},
        measurements=tuple(found),
        start=start,
        stolen_percent=machine.stolen_percent(before, machine.cpu_times()),
        points=POINTS,
    )


def _publish(results: Results) -> None:
    folder = ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    stem = folder / f"{results.date}-{machine.slug(results.machine)}"
    results.write(Path(f"{stem}.json"))
    pictures = [(title, path.relative_to(ROOT).as_posix()) for title, path in plots.draw(results, stem)]
    readme = ROOT / "README.md"
    readme.write_text(replace_block(readme.read_text(encoding="utf-8"), markdown(results, pictures)), encoding="utf-8")
    print(f"\nWritten: {stem}.json, its pictures, and the table in README.md")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description="Measures AI Mass beside its peers. In full it takes about half an hour and wants a quiet machine.",
        epilog="Example: python -m benchmarks.run --quick --only w1,w3 --peers reference,aimass",
    )
    parser.add_argument("--quick", action="store_true", help="one short round: does it work? Its figures mean nothing")
    parser.add_argument("--only", type=_choice([*WORKLOADS, *QUESTIONS]), help=", ".join([*WORKLOADS, *QUESTIONS]))
    parser.add_argument("--peers", type=_choice(LINEUP), help=", ".join(LINEUP))
    parser.add_argument("--rounds", type=int, help="how many rounds the medians are of")
    return parser.parse_args()


def _choice(known: Iterable[str]) -> "_Choice":
    return _Choice(tuple(known))


class _Choice:
    """A comma-separated choice among known words."""

    def __init__(self, known: tuple[str, ...]) -> None:
        self._known = known

    def __call__(self, text: str) -> list[str]:
        words = text.split(",")
        unknown = [word for word in words if word not in self._known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(self._known)}")
        return words


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
