"""Reference models, written with the builder; small trained ones lie in ``trained/``."""
