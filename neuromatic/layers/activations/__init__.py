"""Activations as layers: the general one, plain functions, and those with arguments."""
