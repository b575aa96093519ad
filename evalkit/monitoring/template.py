"""What `evalkit monitor new` writes: a monitor with comments, ready to be filled in."""

from __future__ import annotations

TEMPLATE = """\
monitor: my-model-prod
# model: models:/my-model@champion     # the registered model that answers; for `judge: suite`, `suite:`, `probes:`
source:                                # one of files, sql, traces
  files: generations                   # a Parquet, CSV or JSONL file, or a folder of them, beside this file
  # traces: {experiment: my-experiment}
  # sql: {url: GENERATIONS_URL, table: generations}   # url: the name of an environment variable
  columns:                             # which field plays which part; dots reach into nested fields
    id: id
    time: time                         # ISO 8601, or seconds or milliseconds since 1970
    prompt: prompt
    output: output
    # context: context                 # what the answer may rest on: for hallucination
    # latency: latency                 # seconds
    # cost: cost                       # US dollars
    slices: []                         # such as [language, tenant]
every: day                             # hour, `day at 06:00 Europe/Berlin`, week, month, or cron: "0 * * * *"
lateness: 1h                           # a window waits so long for late rows; later ones restate it
baseline: 14d                          # what the first windows teach
retention: {raw: 30d, states: 400d}
# contract: contract.yaml              # what each window must look like: evalkit monitor contract my-model-prod
# reports: {evidently: true, mlflow: true}
redact: [email, phone]                 # removed before anything is stored
checks:                                # operational (latency, cost, length, empty, repeated, error) is always there
  - {toxicity: {sample: 5000/day}, alert: {versus: baseline}}
  - {refusal: {sample: 5000/day}}
  - {drift: [prompt, output], against: [baseline, previous]}
  # - {groups: {by: [language], of: [empty, length, refusal]}}
  # - {hallucination: {judge: suite, sample: 200/day}, alert: {max: 0.08}}
  # - {perplexity: {model: lm, sample: 500/day}, alert: {key: perplexity, versus: baseline}}
  # - {images: {extractor: inception-v3, root: pictures, reference: real}}   # needs columns: {image: ...}
  # - {suite: my-suite, every: week}
  # - {probes: {groups: gender, of: [refusal, toxicity]}, every: week}   # asks the model itself
# budget: 10 USD/day                   # what judges may spend each UTC day
notify: [{log: true}]                  # where alerts go; webhook, slack, email: names of environment variables
"""
