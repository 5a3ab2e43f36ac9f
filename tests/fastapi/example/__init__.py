"""A small backend with a page that starts copies of a batch and shows their progress.

See it on a simulated Prolific, at http://127.0.0.1:8000:

    python -m tests.fastapi.example
"""
