"""The report of a batch, from the bytes of its CSV to rows; no HTTP.

``csv_records`` cuts the text into records, and ``rows`` makes rows of them.
"""
