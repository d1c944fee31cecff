"""Dense and Embedding layers, masking, and layers for any ONNX operator."""
