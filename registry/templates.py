"""What `evalkit suite new` writes: a suite with comments, ready to be filled in."""

from __future__ import annotations

from metrics.errors import InputError, did_you_mean

_GATE = """\
gate:
  seed: 0            # part of the suite: another seed on the same version counts as another look
  alpha: 0.05        # one-sided: a model exactly on a limit passes at most this often
  looks: 1           # more than one only if you mean to add samples later; each look has its share of alpha
  coverage: 0.98     # below this share of scored samples nothing passes
"""

_IMAGE = """\
suite: my-images
presets:             # how many images per task: --preset quick, else full
  quick: {n: 1000}
  full: {n: 10000}
tasks:
  images:
    reference: data/reference.parquet     # real images that the model never saw; a folder, .npz or .parquet
    generate: {batch_size: 64}            # everything that evalkit does not know is handed to the generator
    extractor: inception-v3               # or a .pt2 file below this folder
    score: [kid, recall, precision, fid]  # fid is reported: its interval is not valid at small n
"""

_IMAGE_RULES = """\
  rules:
    - {metric: images/recall, min: 0.45}                     # diversity: mode collapse fails here
    - {metric: images/precision, min: 0.60}                  # quality
    - {metric: images/kid, versus: champion, margin: 10%}    # not worse than the champion by more than a tenth
"""

_TEXT = """\
suite: my-language-model
presets:
  quick: {n: 200}
  full: {n: 2000}
tasks:
  held-out:
    data: data/held_out.jsonl             # one JSON object per line
    columns: {text: text, cluster: document}
    score: [perplexity]                   # perplexity.bits_per_byte compares across tokenizers
  continuations:
    data: data/prompts.jsonl
    columns: {prompt: prompt}
    generate: {max_new_tokens: 64, temperature: 0.8}
    score: [distinct_n, empty]
"""

_TEXT_RULES = """\
  rules:
    - {metric: held-out/perplexity, versus: champion, margin: 2%}
    - {metric: continuations/empty, max: 1 %}
"""

_QA = """\
suite: my-assistant
tasks:
  golden:
    data: data/golden.jsonl               # one JSON object per line
    columns: {prompt: question, expected: answers, context: retrieved, cluster: document, slices: [language]}
    generate: {call: "app.rag:answer", env: [OPENAI_API_KEY]}   # or: outputs: answers.jsonl
    score: [exact_match, token_f1, empty]
    # long answers: rouge_l (words in common with the expected text, in order); translations: chrf or bleu
"""

_QA_RULES = """\
  rules:
    - {metric: golden/token_f1, min: 0.60}
    - {metric: golden/token_f1, versus: champion, margin: 0.02}
    - {metric: golden/empty, max: 2 %}
"""

_TEMPLATES = {
    "image": (_IMAGE, _IMAGE_RULES),
    "text": (_TEXT, _TEXT_RULES),
    "qa": (_QA, _QA_RULES),
}
_KINDS = {
    **dict.fromkeys(("gan", "vae", "diffusion", "flow", "nerf", "images"), "image"),
    **dict.fromkeys(("autoregressive", "rnn", "markov", "transformer", "gaussian-process"), "text"),
    **dict.fromkeys(("llm", "multimodal", "callable", "outputs"), "qa"),
}


def template(kind: str) -> str:
    """Text of a new suite for ``image``, ``text``, ``qa`` or a kind of model (``gan``, ``llm``, …)."""
    name = _KINDS.get(kind, kind)
    if name not in _TEMPLATES:
        known = [*_TEMPLATES, *_KINDS]
        raise InputError(f"there is no template for '{kind}'{did_you_mean(kind, known)}; there are {', '.join(known)}")
    tasks, rules = _TEMPLATES[name]
    return tasks + _GATE + rules
