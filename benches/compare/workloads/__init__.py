"""Every workload, once. A group is a file here with ``GROUP`` and ``WORKLOADS``."""

from ..workload import Workload
from . import (
    convolution,
    copies,
    elementwise,
    networks,
    optimizers,
    overhead,
    pooling,
    products,
    reductions,
    sequences,
)

_MODULES = (
    products,
    convolution,
    elementwise,
    reductions,
    pooling,
    copies,
    optimizers,
    overhead,
    sequences,
    networks,
)
GROUPS = [module.GROUP for module in _MODULES]
ALL = [workload for module in _MODULES for workload in module.WORKLOADS]

__all__ = ["ALL", "GROUPS", "Workload"]
