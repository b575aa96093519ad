"""Write ``docs/openapi.json``, the description of the REST API that follows from its code.

python docs/make_openapi.py            # a test asserts that it is current
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("openapi.json")


def description() -> dict[str, Any]:
    """The OpenAPI document of the API alone, without MLflow's."""
    from fastapi import FastAPI

    from evalkit.server.api import router

    app = FastAPI(
        title="evalkit",
        version="1",
        description="Model versions with the suites that judge them: submit evaluations, decide, promote, audit.",
    )
    app.include_router(router)
    return app.openapi()


def text() -> str:
    """The document as it is kept."""
    return json.dumps(description(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
