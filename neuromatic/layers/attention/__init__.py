"""Attention, positional encodings, and the masks and projections they share."""
