"""Pooling by windows, to a given size, and over everything."""
