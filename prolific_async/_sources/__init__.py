"""Sources of uploads, from the caller's argument to the bytes that are sent; no HTTP.

``source.Source`` serves ``upload``, and ``append_slices`` serves ``append``. Rows are encoded by
``csv_rows`` and ``json_rows``; bytes and files are read by ``contents``, checked by
``text_checks``, and given keys by ``key_rewriting``; the result is a ``payload.Payload``.
"""
