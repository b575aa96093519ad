"""An endpoint alone, as a process that tests may kill: ``python server.py PORT``."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI

from evalkit.server.api.records import router

if __name__ == "__main__":
    app = FastAPI()
    app.include_router(router, prefix="/evalkit/api/v1")
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
