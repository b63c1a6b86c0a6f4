"""Whether onnxruntime can really use an NVIDIA GPU here, found out without a word on the terminal.

``get_available_providers()`` names CUDA whenever the package was built for it, and asking for CUDA in vain prints
errors that no option silences. So the driver is asked for devices, and the libraries that the provider links are
loaded by name, before onnxruntime is.
"""

import ctypes
from functools import cache

PROVIDER = "CUDAExecutionProvider"
_LIBRARIES = ("libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libcudnn.so.9")


@cache
def has_cuda() -> bool:
    """True when a device answers and all that the CUDA provider of onnxruntime 1.31 links loads."""
    import onnxruntime

    if PROVIDER not in onnxruntime.get_available_providers() or count_devices() == 0:
        return False
    return all(_loads(library) for library in _LIBRARIES)


def count_devices() -> int:
    """GPUs that the driver offers to this process; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
