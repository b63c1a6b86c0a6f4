"""Whether onnxruntime can really use an NVIDIA GPU in this process, found out without a word on the terminal; and how.

``get_available_providers()`` names CUDA whenever the package was built for it, and asking for CUDA in vain prints
errors that no option silences. So the driver is asked for devices, and the libraries that the provider links are
loaded by name before it is.
"""

import ctypes
import os
import sysconfig
import weakref
from functools import cache
from pathlib import Path

import numpy as np

from aimass.core.batch import Array
from aimass.core.errors import Unavailable

PROVIDER = "CUDAExecutionProvider"
RUNTIME = "libcudart.so.13"
LIBRARIES = (RUNTIME, "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libcudnn.so.9")
"""What the provider of onnxruntime 1.31 links or loads, each after those that it needs itself."""

WHEELS = ("nvidia/cu13/lib", "nvidia/cudnn/lib")
"""Where NVIDIA's packages, which come with the extra ``cuda``, keep them."""

CONTEXT_BYTES = 512 * 2**20
"""Of a GPU's memory that a process takes beside the arena: CUDA's context, cuBLAS, cuDNN. A guess to be on the safe
side: it has not been measured."""

_PORTABLE = 1  # cudaHostAllocPortable: pinned for every context of the process


@cache
def why_no_cuda() -> str:
    """Why this process cannot run models on a GPU; empty when it can."""
    import onnxruntime

    if PROVIDER not in onnxruntime.get_available_providers():
        return "this onnxruntime was built without CUDA"
    if count_devices() == 0:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return "no NVIDIA driver offers a GPU" + ("" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible!r})")
    missing = [name for name in LIBRARIES if not _loads(name)]
    return f"not found: {', '.join(missing)}; in the project's folder: pip install -e '.[cuda]'" if missing else ""


def count_devices() -> int:
    """GPUs that the driver offers to this process; 0 without a driver."""
    driver = _driver()
    count = ctypes.c_int(0)
    if driver is None or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def provider_options(total_bytes: int, share: float) -> dict[str, str]:
    """Of the CUDA provider, for a process that may fill ``share`` of a GPU with so much memory.

    The device is the first that the process sees: Ray shows each actor its own alone. No TF32, which would give other
    answers than the CPU does; cuDNN's heuristics, because a search for the best algorithm stops the first call of every
    number of rows.
    """
    options = {
        "device_id": "0",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }
    return options if share >= 1 else {**options, "gpu_mem_limit": str(arena_bytes(total_bytes, share))}


def arena_bytes(total_bytes: int, share: float) -> int:
    """The arena's part of a share: all but what the context takes, and half of it at least."""
    mine = total_bytes * share
    return int(max(mine - CONTEXT_BYTES, mine / 2))


def device_bytes() -> int:
    """Memory of the first GPU that this process sees; ``Unavailable`` when the driver does not tell."""
    driver = _driver()
    device, total = ctypes.c_int(0), ctypes.c_size_t(0)
    if (
        driver is None
        or driver.cuDeviceGet(ctypes.byref(device), 0) != 0
        or driver.cuDeviceTotalMem_v2(ctypes.byref(total), device) != 0
    ):
        raise Unavailable("the NVIDIA driver does not tell how much memory the GPU has; look at: nvidia-smi")
    return total.value


def pinned(size: int) -> Array:
    """So many bytes of host memory that the GPU reads and writes by itself, freed with the last view of them."""
    runtime = ctypes.CDLL(RUNTIME)
    address = ctypes.c_void_p()
    failed = runtime.cudaHostAlloc(ctypes.byref(address), ctypes.c_size_t(size), ctypes.c_uint(_PORTABLE))
    if failed or address.value is None:
        raise Unavailable(f"no {size} bytes of memory could be pinned for the GPU (CUDA error {failed}); try again")
    memory = (ctypes.c_ubyte * size).from_address(address.value)
    weakref.finalize(memory, runtime.cudaFreeHost, address).atexit = False
    return np.ctypeslib.as_array(memory)


@cache
def _driver() -> ctypes.CDLL | None:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    return driver if driver.cuInit(0) == 0 else None


def _loads(library: str) -> bool:
    """By the system's search, else from NVIDIA's packages; onnxruntime then finds it among what is loaded."""
    packages = Path(sysconfig.get_path("purelib"))
    for place in (library, *(str(packages / folder / library) for folder in WHEELS)):
        try:
            ctypes.CDLL(place)
        except OSError:
            continue
        return True
    return False
