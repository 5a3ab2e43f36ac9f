"""A simulator and the raw requests to its datasets and batches, without the client."""

import io
import json
from typing import Any

import aiohttp

from prolific_async.simulator import Simulator

ROOT = "/api/v1/data-collection"
SCHEMA = {"strict": True, "fields": {"q": {"type": "text"}, "a": {"type": "text"}}}
DETAILS = {"task_name": "n", "task_introduction": "i", "task_steps": "s"}
LAYOUT = [
    {
        "rows": [
            {"columns": [{"items": [{"type": "dataset_field", "field": "q"}]}]},
            {"columns": [{"items": [{"type": "free_text", "description": "Why?"}]}]},
        ]
    }
]


class World(Simulator):
    """A simulator with a client."""

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Token {self.token}"}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        data = None if body is None else io.BytesIO(content)
        url = self.url + ROOT + path
        async with aiohttp.request(method, url, data=data, headers=headers) as response:
            return response.status, await response.json()

    async def create(self, **fields: Any) -> str:
        """Create a dataset and return its id."""
        body = {"name": "D", "workspace_id": self.workspace_id, **fields}
        status, dataset = await self.ask("POST", "/datasets", body)
        assert status == 201
        return str(dataset["id"])

    async def send(self, dataset_id: str, filename: str, content: bytes) -> Any:
        """Upload a file and return the document of its URL."""
        status, upload = await self.ask("GET", f"/datasets/{dataset_id}/upload-url/{filename}")
        assert status == 201
        assert await self.put(upload, content) == 200
        return upload

    async def put(self, upload: Any, content: bytes) -> int:
        headers = {"Content-Type": upload["content_type"]}
        async with aiohttp.request(
            upload["http_method"], upload["upload_url"], data=io.BytesIO(content), headers=headers
        ) as response:
            return response.status

    async def ended(self, path: str) -> Any:
        """Poll a job or dataset until it has ended, and return its document."""
        while True:
            document = (await self.ask("GET", path))[1]
            if document["status"] not in ("queued", "processing", "PROCESSING"):
                return document
