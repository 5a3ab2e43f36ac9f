"""What comes over the wire: JSON within bounds, long answers in slices, to models and back."""
