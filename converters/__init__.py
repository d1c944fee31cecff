"""From ONNX to engines and to other file formats."""
