"""A small backend with a page: copies of a batch, and what becomes of them.

See it on a simulated Prolific, at http://127.0.0.1:8000:

    python -m tests.fastapi.example
"""
