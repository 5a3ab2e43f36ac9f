"""Waits: the rules of a single wait, and the poller that serves many waits with shared polls.

``wait`` holds the rules of one wait: its gaps and jitter, failures, and how it ends; ``deadline``
its arithmetic; ``kinds`` which status ends it. ``scheduler`` decides which targets are due, singly
or by the list of their workspace; ``targets`` when a list is given up. ``poller`` makes the polls:
``poll_requests`` sends them, ``list_polls`` those of lists, which ``list_checks`` compares with
single polls. ``wait_methods`` and ``wait_runner`` connect the calls of a client with all this.
"""
