"""MegEngine's API on the Tengen deep-learning engine.

>>> import megengine as mge
>>> import megengine.functional as F
>>> F.relu(mge.tensor([-1.0, 2.0])).numpy()
array([0., 2.], dtype=float32)
"""

from . import _tengen, errors
from ._tengen import get_num_threads, set_num_threads
from .device import (
    get_default_device,
    get_device_count,
    is_cuda_available,
    set_default_device,
)
from .tensor import Parameter, Tensor, tensor

from . import autodiff, functional, module, optimizer  # isort: skip
from .serialization import load, save  # isort: skip

__version__ = _tengen.__version__

__all__ = [
    "Parameter",
    "Tensor",
    "autodiff",
    "errors",
    "functional",
    "get_default_device",
    "get_device_count",
    "get_num_threads",
    "is_cuda_available",
    "load",
    "module",
    "optimizer",
    "save",
    "set_default_device",
    "set_num_threads",
    "tensor",
]
