"""Preprocessing of numbers, categories, text lookups, images and sound."""
