"""The JSON Schema of suites, which editors use to complete and check them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from judges import register_metrics
from metrics.catalogue import names
from registry.spec import SuiteSpec

PUBLISHED = Path(__file__).with_name("suite.schema.json")


def suite_schema() -> dict[str, Any]:
    """The JSON Schema of a suite file; names of metrics are offered, those of later versions accepted."""
    register_metrics()
    schema: dict[str, Any] = SuiteSpec.model_json_schema(mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "evalkit suite"
    score = schema["$defs"]["ScoreSpec"]
    score["anyOf"][0]["examples"] = names()
    return schema


def render() -> str:
    """The text of the published file."""
    return json.dumps(suite_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def publish() -> None:
    """Write the published file; run after every change of the specification."""
    PUBLISHED.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    publish()
