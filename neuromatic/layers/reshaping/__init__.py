"""Layers that change shapes: reshaping, padding and upsampling."""
