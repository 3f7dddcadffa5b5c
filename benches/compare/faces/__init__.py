"""The two faces of the peers: MegEngine's API (Tengen and MegEngine 1.13), and PyTorch's.

Both have the methods of `base.Face`, and the same functions under the same names.
"""


def open_face(name, threads):
    """Imports a peer's library and nothing of another's."""
    if name == "torch":
        from .torch_face import TorchFace

        return TorchFace(threads)
    from .megengine_face import MegEngineFace

    return MegEngineFace(threads)
