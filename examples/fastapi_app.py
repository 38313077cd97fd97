"""Documents over HTTP: upload one, get an id, ask for the result.

    pip install fastapi uvicorn './core/contract[client]'
    INBOX=/srv/inbox uvicorn fastapi_app:app --app-dir examples
    curl --data-binary @4711.pdf localhost:8000/documents        → 202 {"id": "…"}
    curl localhost:8000/documents/…                              → 202 until it has ended, then 200

INBOX is a folder that docintake may read (`documents.roots`).
"""

import os
import uuid
from pathlib import Path
from typing import Any

from docintake_contract import ClassifyResult, IntakeClient, IntakeError
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool

INBOX = Path(os.environ["INBOX"]).resolve()
LARGEST = 32 * 1024 * 1024

client = IntakeClient(
    os.environ["DOCINTAKE_BROKER__URL"], key_prefix=os.environ.get("DOCINTAKE_BROKER__KEY_PREFIX", "")
)
app = FastAPI(title="Office")


@app.post("/documents", status_code=202)
async def upload(request: Request) -> dict[str, str]:
    """Keep the document where docintake may read it, and enqueue it."""
    task_id = str(uuid.uuid4())
    path = INBOX / task_id
    size = 0
    with path.open("wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > LARGEST:
                path.unlink()
                raise HTTPException(413, f"at most {LARGEST:,} bytes")
            file.write(chunk)
    # Celery blocks: not on the event loop. The id is ours, so that the file is named after it.
    await run_in_threadpool(client.classify, path.as_uri(), task_id=task_id, external_id=task_id)
    return {"id": task_id}


@app.get("/documents/{task_id}")
def result(task_id: uuid.UUID, response: Response) -> dict[str, Any]:
    """What it is; 202 while nobody knows, 422 where the document was at fault, 502 where docintake was."""
    if not (INBOX / str(task_id)).exists():
        # Celery cannot tell a task that has not ended from one that never was.
        raise HTTPException(404, "no such document")
    handle = client.handle(str(task_id), ClassifyResult)
    if not handle.ready():
        response.status_code = 202
        return {"state": "pending"}
    try:
        found = handle.get(timeout=10)
    except IntakeError as error:
        raise HTTPException(422 if error.kind == "rejected" else 502, f"{error.code}: {error.message}") from error
    return {
        "state": found.status,
        "class": found.prediction,
        "confidence": found.confidence,
        "reasons": found.reasons,
    }
