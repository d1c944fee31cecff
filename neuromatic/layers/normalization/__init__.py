"""Normalization over batches, layers, groups and spectra."""
