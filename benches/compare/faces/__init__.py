"""The faces of the peers: MegEngine's API (Tengen and MegEngine 1.13), PyTorch's, and candle's.

They have the methods of `base.Face`, and the same functions under the same names, candle's some of
them.
"""


def open_face(name, threads):
    """Imports a peer's library and nothing of another's."""
    if name == "torch":
        from .torch_face import TorchFace

        return TorchFace(threads)
    if name == "candle":
        from .candle_face import CandleFace

        return CandleFace(threads)
    from .megengine_face import MegEngineFace

    return MegEngineFace(threads)
