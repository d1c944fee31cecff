"""What is told of a model or a run: summaries, pictures, differences, inspection, agreement of engines."""
