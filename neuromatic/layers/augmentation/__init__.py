"""Image augmentation, which training does and inference leaves out."""
