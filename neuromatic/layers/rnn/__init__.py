"""Recurrent layers, their cells, and wrappers for every step or both directions."""
