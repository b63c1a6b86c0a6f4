"""How our Serve replicas run: everything on their one event loop, calls between them straight over gRPC, and no long
look for garbage in between."""

import gc

MAX_MESSAGE_BYTES = 512 * 1024 * 1024
"""Of one call between replicas, either way; a batch whose tensors are larger is cut (Serve's own limit is 4 MiB)."""

FAST_SERVE = {
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(MAX_MESSAGE_BYTES),
    "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "1",  # by itself 0.1, which a replica on a busy machine may miss
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_RECORD_INTERVAL_S": "0.5",
    "OMP_NUM_THREADS": "1",
}
"""Set one by one: the flag that sets them all would also open Serve's own ports."""

PRIORITY = {"RAY_worker_niceness": "0"}
"""Ray runs workers at niceness 15, where all else on the machine, its own daemons included, goes before callers."""

THRESHOLDS = (5_000, 10, 10)
"""New containers before a look at the youngest, such looks before one at the middle, these before one at all. Python's
own 700 are there after some 50 calls that wait for something. Only calls that fail or are cancelled leave cycles, which
hold their inputs until then: so no more."""


def spare_collections() -> None:
    """What is in memory now stays, so Python need not look through it for garbage: some hundred thousand objects of
    Ray and of libraries, in 0.1 s of an event loop. Call it once, before the first call is answered."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
