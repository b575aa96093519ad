"""What the surroundings can do wrong (a server, a database, a disk, a missing package), told in one line.

Anything else is a mistake of ours and keeps its traceback.
"""

from __future__ import annotations

import sys

_EXTRAS = {
    "torch": "images",
    "transformers": "text",
    "tokenizers": "text",
    "safetensors": "images",
    "diffusers": "diffusion",
    "openai": "endpoints",
    "altair": "charts",
    "vl_convert": "charts",
    "psycopg": "postgres",
    "sklearn": "demo",
}
_LONGEST = 400


def explain(error: Exception) -> str | None:
    """Return the line for an error of the surroundings; None for any other."""
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        missing = f"this needs the package '{error.name}', which is not installed"
        return f"{missing}: pip install 'evalkit[{extra}]'" if extra else None
    if _is(error, "mlflow.exceptions", "MlflowException"):
        return f"MLflow says: {_one_line(error)}"
    if _is(error, "sqlalchemy.exc", "OperationalError") or _is(error, "sqlalchemy.exc", "InternalError"):
        # PostgreSQL's drivers say the latter of a database that may not be written
        cause = getattr(error, "orig", None) or error  # without the statement and its values
        return f"the database cannot be used: {_one_line(cause)}"
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or _one_line(error)}{place}"
    return None


def _is(error: Exception, module: str, name: str) -> bool:
    """Whether the error is of a class whose library need not be loaded."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(error, getattr(loaded, name))


def _one_line(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
