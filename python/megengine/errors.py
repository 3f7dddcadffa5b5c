"""Exceptions of the engine: each is a RuntimeError and the built-in class of its kind."""

from ._tengen import (
    ArgumentError,
    AxisError,
    DeviceError,
    DTypeError,
    FileError,
    OutOfMemoryError,
    ShapeError,
    UnsupportedError,
)

__all__ = [
    "ArgumentError",
    "AxisError",
    "DTypeError",
    "DeviceError",
    "FileError",
    "OutOfMemoryError",
    "ShapeError",
    "UnsupportedError",
]
