"""The parts of the golden recorder: one module per family, and `store`, which runs and saves."""
