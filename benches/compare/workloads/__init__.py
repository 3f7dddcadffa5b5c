"""Every workload, once. A group is a file here with ``GROUP`` and ``WORKLOADS``."""

from ..workload import Workload
from . import convolution, elementwise, products

_MODULES = (products, convolution, elementwise)
GROUPS = [module.GROUP for module in _MODULES]
ALL = [workload for module in _MODULES for workload in module.WORKLOADS]

__all__ = ["ALL", "GROUPS", "Workload"]
