"""Parsing of a batch's report, from the bytes of its CSV to rows; no HTTP.

``csv_parser`` cuts the text into records, and ``rows`` turns the records into rows.
"""
