"""The JSON Schema of monitors, which editors use to complete and check them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evalkit.monitoring.checks import names
from evalkit.monitoring.spec import MonitorSpec

PUBLISHED = Path(__file__).with_name("monitor.schema.json")


def monitor_schema() -> dict[str, Any]:
    """The JSON Schema of a monitor file."""
    schema: dict[str, Any] = MonitorSpec.model_json_schema(mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "evalkit monitor"
    check = schema["$defs"]["CheckSpec"]
    common = {name: check["properties"][name] for name in ("alert", "against", "every", "slices", "as")}
    kinds = [
        {"type": "object", "properties": {**common, kind: {}}, "required": [kind], "additionalProperties": False}
        for kind in names()
    ]
    schema["$defs"]["CheckSpec"] = {"anyOf": [{"enum": sorted(names())}, *kinds]}
    return schema


def render() -> str:
    """The text of the published file."""
    return json.dumps(monitor_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def publish() -> None:
    """Write the published file; run after every change of the specification."""
    PUBLISHED.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    publish()
