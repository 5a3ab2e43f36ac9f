"""The storage behind presigned URLs: files that come in, and files that are kept for downloads."""

import secrets
import sys
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import BinaryIO

import attrs

from prolific_async.simulator.numbers import real
from prolific_async.simulator.presigned_urls import LIFETIME, PresignedUrls

__all__ = ["Download", "StoredFile", "Upload", "Uploads"]


@attrs.frozen
class Upload:
    """A presigned URL to which one file of a dataset may be sent, more than once.

    Args:
        id: Its own id, for the import that it starts.
        dataset_id: Id of the dataset.
        filename: Name of the file.
        content_type: The `Content-Type` that the request must have.
        method: The method that the URL is good for.
        url: The URL, a secret.
        expires_at: When it expires.
    """

    id: str
    dataset_id: str
    filename: str
    content_type: str
    method: str
    url: str = attrs.field(repr=False)
    expires_at: datetime


@attrs.frozen
class StoredFile:
    """A file that can be downloaded.

    Args:
        filename: Its name.
        content_type: Sent as `Content-Type`.
        content: Its bytes.
        etag: Its strong ETag, with the quotes.
    """

    filename: str
    content_type: str
    content: bytes = attrs.field(repr=False)
    etag: str = attrs.field(factory=lambda: f'"{secrets.token_hex(16)}"')


@attrs.frozen
class Download:
    """A presigned URL from which a file can be read.

    Args:
        method: The method that the URL is good for.
        url: The URL, a secret.
        expires_at: When it expires.
    """

    method: str
    url: str = attrs.field(repr=False)
    expires_at: datetime


class Uploads:
    """The uploads to the storage, and the downloads from it.

    Args:
        now: Returns the simulator's clock, in seconds, by which URLs expire.
        utc_now: Returns the time of day, for `expires_at`.
        lifetime: Seconds that a URL is valid.

    Attributes:
        urls: The presigned URLs.
        stored: A function that is set before anything is served. It is called in the serving loop
            with each upload whose whole file has arrived, and with the file at its beginning,
            which it closes. If it raises, the response has the status 500. The same file may arrive
            again, after a response was lost.
    """

    def __init__(
        self, now: Callable[[], float], utc_now: Callable[[], datetime], lifetime: float = LIFETIME
    ) -> None:
        lifetime = real(lifetime)
        # The error names the argument of `Simulator`.
        if isinstance(lifetime, bool) or not 0 <= lifetime <= sys.float_info.max:
            raise ValueError(f"url_lifetime must be seconds from 0 on, not {lifetime!r}")
        self.urls = PresignedUrls(now, utc_now, lifetime)
        self.stored: Callable[[Upload, BinaryIO], object]

    def new_url(self, dataset_id: str, filename: str, content_type: str) -> Upload:
        """Return a new URL for a file of a dataset."""
        upload_id = str(uuid.uuid4())
        link = self.urls.sign("PUT", dataset_id, upload_id, filename, content_type=content_type)
        upload = Upload(
            upload_id, dataset_id, filename, content_type, link.method, link.url, link.expires_at
        )
        link.target = upload
        return upload

    def new_download(self, file: StoredFile) -> Download:
        """Return a new URL for a file that is kept."""
        link = self.urls.sign("GET", str(uuid.uuid4()), file.filename)
        link.target = file
        return Download(link.method, link.url, link.expires_at)
