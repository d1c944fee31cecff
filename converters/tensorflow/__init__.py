"""The TensorFlow engine: one lowering for each operator, one compiled step."""
