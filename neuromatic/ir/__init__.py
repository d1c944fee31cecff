"""Questions about an ONNX graph and their answers: building, walking, types, tensors, opsets, constants."""
