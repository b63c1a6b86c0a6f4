"""A local Ray cluster of its own for one peer: started with the peer's settings, gone when the peer is stopped."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

READY = "READY"
HAPROXY_DIR = Path(tempfile.gettempdir()) / "haproxy-serve"  # Ray's own; a folder per node, which Ray leaves behind


def serve_until_stopped(env: dict[str, str], deploy: Callable[[Any, int], None]) -> None:
    """Starts Ray with ``env`` in every worker, lets ``deploy`` start Serve on the port, and waits for SIGTERM."""
    os.environ["RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP"] = "1"  # this driver has no loop for a router to run on
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray import serve

    inherited = {name: os.environ[name] for name in ("BENCH_MODELS", "PYTHONPATH", "OMP_NUM_THREADS")}
    stop = {signal.SIGTERM, signal.SIGINT}
    ray.init(
        address="local",
        runtime_env={"env_vars": {**inherited, **env}},
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        _temp_dir=os.environ["BENCH_RAY_DIR"],
    )
    node = ray.get_runtime_context().get_node_id()
    try:
        deploy(serve, int(os.environ["BENCH_PORT"]))
        signal.pthread_sigmask(signal.SIG_BLOCK, stop)
        print(READY, flush=True)
        signal.sigwait(stop)
    finally:
        serve.shutdown()
        ray.shutdown()
        shutil.rmtree(HAPROXY_DIR / node, ignore_errors=True)
