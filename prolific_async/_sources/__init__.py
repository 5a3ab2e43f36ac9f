"""Sources of uploads, from the caller's argument to the bytes that are sent; no HTTP.

``source.Source`` is what an upload uses, and ``append_slices`` what ``append`` does. Rows are
encoded by ``csv_rows`` and ``json_rows``; bytes and files are ``contents``, which ``text_checks``
examines and ``key_rewriting`` changes; the result is a ``payload.Payload``.
"""
