"""What is uploaded to a dataset: sources of every kind, checked and encoded before any request."""
