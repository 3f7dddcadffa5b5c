"""Times the same work under Tengen, PyTorch and MegEngine 1.13, in separate processes, in turn.

`python -m benches.compare --help` from the repository's root. The worker side (everything but
`__main__`, `peers`, `report` and `ceilings`) runs on Python 3.9 and later, because MegEngine 1.13
ends there.
"""
