"""Building models: layers called on each other or chained, and the Model that they make."""
