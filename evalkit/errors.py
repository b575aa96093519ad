"""What else a request can be told beside that its input is wrong; the REST API and the pages give each its status."""

from __future__ import annotations

from metrics.errors import InputError


class NotFoundError(InputError):
    """There is no such thing."""


class ConflictError(InputError):
    """Something else is there already."""


class ForbiddenError(InputError):
    """The present actor may not do this, whatever the role."""
