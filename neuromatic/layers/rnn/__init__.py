"""Recurrent layers, their cells, and wrappers that apply a layer to each step or in both directions."""
