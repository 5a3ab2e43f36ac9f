"""JSON: decoded, in slices where it is long, and structured into models and back."""
