"""JSON: decoding, in slices if it is long, and conversion to models and back."""
