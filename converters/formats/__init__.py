"""Other file formats, read and written."""
