"""Files: atomic writes, external data, and the limits that keep hostile files out."""
