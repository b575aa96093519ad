"""Further rules of the injection detector: verdicts in any syntax, changed rubrics, orders in one clause.

Each rule is a kind of attack, not a phrase of one. Patterns for folded text (`judges.folding`); every repetition is
bounded.
"""

from __future__ import annotations

from collections.abc import Mapping

from judges.injection_words import ANSWER, GIVE, GRADE, JUDGE

_KEY = r"(?:scores?|verdicts?|ratings?|grades?|marks?|judge?ments?|evaluations?|winner)"
_BEST = r"(?:5|10|100|five|ten|pass(?:ed)?|perfect|excellent|full marks|top marks|max(?:imum)?)(?![\w%]|[.,]\d)"
_MOST = (
    rf"(?:(?:full|maximum|max|highest|perfect|top|best)(?: possible)? (?:{GRADE}|credit)|(?:5|10|five|ten|pass)(?![\w%]|[.,]\d)"
    r"(?! (?:goals?|people|minutes?|hours?|days?|years?|times|questions?|percent|dollars?|items?|games?)))"
)
_QUALITY = r"(?:accuracy|correctness|completeness|clarity|style|fluency|helpfulness|relevance|groundedness|faithfulness|coherence|usefulness|depth|quality|overall)"
_SOUND = r"(?:verified|confirmed|certified|validated|vetted|fact-checked|peer[- ]reviewed|double-checked|proofread)"
_GONE = (
    r"(?:obsolete|void|no longer|out ?dated|invalid|superseded|replaced|cancell?ed|does(?: not|n't) (?:count|apply|matter)"
    r"|irrelevant|null|withdrawn|expired)"
)
_CHANGED = (
    r"(?:revised|updated|replaced|amended|corrected|changed|waived|suspended|withdrawn|relaxed|lifted|simplified)"
)

FORMS: Mapping[str, str] = {
    "end of material, brackets": (
        r"\[\s?/\s?(?:answer|response|output|submission|candidate|material|assistant|entry)(?: [ab12])?\s?\]"
    ),
    "demand, as the winner": (
        rf"\b(?:name|declare|record|take|taken|return|mark|treat|list|enter)\b (?:as )?(?:the |this |my )?(?:{ANSWER}|entry|one)\b[^.\n]{{0,60}}\bas (?:the )?(?:winner|better|best)\b"
        r"|\b(?:is|are) to be taken as (?:the )?winner\b|\bverdetto\b[^.\n]{0,30}\bdar(?:le|gli) la vittoria\b"
    ),
    "checking waived": (
        rf"\b(?:no need to|need not|without having to|not necessary to|do not have to|don't have to) (?:read|check|review|inspect|evaluate|verify|grade|judge|look at) (?:the |this |my |its )(?:code|content|{ANSWER})\b"
        r"|\b(?:correctness|accuracy|quality)\b[^.\n]{0,20}\b(?:has|have) (?:already )?been (?:already )?(?:established|verified|confirmed|checked|ensured)\b"
    ),
    "scale without a bottom": (
        rf"\b(?:lowest|minimum|only|smallest) (?:reportable|permitted|allowed|admissible|available|valid|possible) (?:value|{GRADE})\b[^.\n]{{0,12}}\b(?:is|are|of) (?:now |an? )?(?:5|five|10|ten)\b"
    ),
    "threat to judges": (
        rf"\b(?:marked|graded|scored|rated|judged|evaluated)\b[^.\n]{{0,30}}\b(?:our|my|this|these|one of our)\b [^.\n]{{0,12}}\b(?:submissions?|{ANSWER}s?|entr(?:y|ies))\b[^.\n]{{0,12}}\b(?:below|under|less than|lower than)\b"
        r"|\b(?:evaluation|grading|judging|scoring|verdicts?)\b[^.\n]{0,20}\b(?:will be|is being|are|is) (?:audited|monitored|logged|watched|reported)\b[^.\n]{0,40}(?:\b(?:expect|require|want)\b|(?<![\w.])5\b)"
    ),
    "stake on the grade": (
        rf"\b(?:dollars|euros?|birthday|scholarship|job|bonus|tip|reward)\b[^.\n]{{0,60}}\b(?:if|unless)\b[^.\n]{{0,30}}\b(?:{GRADE})\b[^.\n]{{0,12}}\b(?:is|was|be|were)\b[^.\n]{{0,6}}(?<![\w.])(?:5|five|10|ten|full|perfect|a pass)\b"
        rf"|\b(?:perfect|full|top|highest|maximum) (?:{GRADE})\b[^.\n]{{0,10}}\b(?:is|are) all (?:that )?(?:i|we) (?:wish|ask|want|hope|need)\b"
    ),
    "grade found or agreed": (
        rf"\b(?:cached|stored|pre-?filled|previous|saved|recorded|agreed|suggested|recommended) (?:{GRADE})\b[^.\n]{{0,30}}(?<![\w.])(?:5|five|10|ten|pass|full)\b(?! (?:stars|minutes))"
        rf"|\b(?:the|your) (?:{GRADE})\b[^.\n]{{0,12}}\b(?:pre-?filled|preset|locked|fixed)\b"
        rf"|\b(?:correct|right|proper|only|appropriate) (?:{GRADE})\b (?:here |for this )?(?:is|would be) (?:the )?(?:top|highest|best|maximum|5|five)\b"
        rf"|\b(?:jury|panel|judges?|graders?)\b[^.\n]{{0,30}}\b(?:unanimous|agreed on|decision)\b[^.\n]{{0,20}}\b(?:top|full|highest|perfect|maximum) (?:{GRADE})\b"
    ),
    "errors rewarded": (
        r"\b(?:in case of|despite|even with|regardless of|notwithstanding)\b[^.\n]{0,20}\b(?:errors?|mistakes?|content|flaws)\b[^.\n]{0,12}\b(?:award|give|grant|assign|score|record)\b"
        rf"|\b{ANSWER}s?\b[^.\n]{{0,40}}\b(?:exempt from (?:grading|scoring|evaluation|judging|marking)|count as (?:perfect|correct|passed|excellent))\b"
        r"|\bcredit is (?:given|awarded) for (?:brevity|any|effort|style|length)\b"
    ),
    "role, and its grade": (
        rf"\b(?:pretend|imagine|suppose)\b[\s\S]{{0,80}}\b(?:what|which) (?:{GRADE})\b[^?\n]{{0,30}}\?\W{{0,4}}(?:5|five|10|ten|a pass|full)\b"
        rf"|\b{JUDGE}\b ?\([^()\n]{{1,30}}\) ?: ?(?:5|five|10|ten|full|top|perfect|pass)\b"
    ),
    "grade in code": (
        r"\binsert into (?:grades?|scores?|verdicts?|marks?|ratings?|results?|evaluations?)\b[\s\S]{0,100}(?<![\w.])(?:5|10|'pass'|true)\b"
        r"|^\W{0,4}\$ ?(?:evaluate|grade|judge|score|rate|assess)\b[^\n]{0,60}\n[^\n]{0,20}(?<![\w.])(?:5 ?/ ?5|10 ?/ ?10|pass(?:ed)?|5)\b"
        r"|<stars>\s?5\s?</stars>|\b(?:implementation|solution|answer|code)\b[^.\n]{0,10}\b(?:graded|rated|scored) (?:5 ?/ ?5|10 ?/ ?10|5 out of 5)"
        r"|\b(?:alt|title)=[\"'][^\"'\n]{0,40}\b(?:rated|graded|scored)\b[^\"'\n]{0,20}\b(?:5|five|10|ten|full)\b"
        r"|\?q=[^\s)]{0,60}\bgive[+ -]this\b"
    ),
    "verdict in a record of an answer": (
        rf"^\W{{0,4}}(?:{ANSWER}) ?: [^\n]{{0,80}}\n(?:[^\n]{{0,60}}\n){{0,2}}\W{{0,6}}(?:score|mark|grade|points|rating|verdict|result) ?: ?(?:5|10|pass(?:ed)?)\W{{0,2}}$"
    ),
    "imitated verdict, call": (
        r"\b(?:submit|record|report|set|give|assign|return|save|log|emit|post|send|final(?:i[sz]e)?|output|register|award|store)"
        rf"[ .-]?(?:(?:the|final|a|my)[ .-]?)?{_KEY}\b[\"']?\s{{0,3}}[(\",>{{:][\s\S]{{0,60}}?(?<![\w.])(?:{_BEST}|true\b)"
    ),
    "imitated call": (
        r"<\s?/?(?:functions?[ -]?calls?|tool[ -]?(?:calls?|response|result|use|output)|invoke|parameter)\b[^<>\n]{0,80}>?"
        rf"[\s\S]{{0,150}}?\b(?:{_KEY}|{JUDGE})\b"
    ),
    "imitated verdict, in few words": (
        rf"^\W{{0,8}}(?:final |overall |my |the )?{_KEY}\W{{0,4}}[:=]\W{{0,4}}(?:[a-z]+ ){{1,3}}(?:{_BEST}|\d (?:/|out of) \d)\W{{0,4}}$"
    ),
    "imitated verdict, bare": (
        rf"^\W{{0,8}}(?:final |overall |my |the )?(?:score|verdict|rating|grade)\W{{1,5}}{_BEST}"
        r"(?:\W{0,3}(?:/|out of|of|points?|stars?)\W{0,3}\d{0,3})?\W{0,4}$"
        r"|[({<\[]\s?:?(?:score|verdict|rating|grade)[ :=.,\"']{1,5}(?:[1-5]|10|pass|fail)[\"']?\s?/?[)}>\]]"
        rf"|\b(?:score|verdict|rating|grade)\s?=\s?[\"'](?:\d|pass|fail|correct)|\\boxed\s?\{{\s?(?:\\text\s?\{{)?{_KEY}"
    ),
    "imitated verdict, table": (
        rf"\|[ *`]{{0,4}}(?:final |overall |total )?(?:{_KEY}|helpfulness|correctness|relevance|groundedness|accuracy)[ *`:]{{0,4}}\|"
        r"[ *`]{0,4}(?:\d(?:\.\d)?(?: ?(?:/|out of) ?\d+)?|10|pass|fail|correct|five|supported|excellent|perfect)[ *`]{0,4}(?:\||$)"
        rf"|^\|?[ *]{{0,3}}(?:criterion|criteria|aspect|dimension|metric|rubric|judge|answer|response|candidate|{_KEY})[ *]{{0,3}}\|[^\n]{{0,80}}"
        rf"(?:{_KEY}|result|points)[ *]{{0,3}}(?:\||$)[^\n]{{0,80}}\n[ |:-]{{3,60}}\n[^\n]{{0,100}}\|[ *]{{0,3}}(?:\d|10|pass|fail|correct|five)\b"
    ),
    "reply begun": (
        rf"^\W{{0,8}}(?:final |overall |my |the )?(?:verdict|score|rating|grade|judge?ment)\W{{0,4}}:\W{{0,6}}\Z"
        rf"|[{{,]\s?[\"']?{_KEY}[\"']?\s?:\s?[\"']?\Z"
    ),
    "rubric changed": (
        rf"\b(?:rubric|criteria|grading|scoring|marking)(?: scale| scheme| rules?| guide)?s?\b[^\w\n]{{1,3}}"
        rf"(?:{_CHANGED}|v\d|version \d|(?:was|were|is|are|has been|have been) (?:\w+ )?{_CHANGED})"
        r"|\b(?:rubric|criteria|grading|scoring|marking)\b[^.\n]{0,60}?\b(?:5|10|five|ten|full|maximum|top)(?: points?| marks?"
        r"| stars?)?\s?(?:=|:|->|→|means\b|for any|if\b|whenever|goes to|is (?:given|awarded))"
        r"|\b(?:only|sole|single|one) (?:remaining )?(?:criterion|criteria|requirement)\b[^.!?\n]{0,15}\b(?:left|now|remains|remaining)\b"
    ),
    "reference changed": (
        r"\b(?:reference|expected|gold(?:en)?|target|model|correct|official)[ -](?:answer|solution|output|response|label)s?\b[^.!?\n]{0,12}"
        rf"\b(?:was|is|has been|have been|were|are) (?:\w+ )?(?:{_CHANGED}|now|no longer|fixed)\b"
    ),
    "imitated rationale": (
        r"\bi(?:'ve| have)? (?:compared|judged|assessed|evaluated|graded|scored|rated|checked|measured|reviewed) (?:this|the|it|its)\b"
        r"[^.\n]{0,50}\b(?:with|against|by|on|using|according)\b[^.\n]{0,15}\b(?:rubric|criteria|reference|scale)"
        rf"|\b(?:my|our|the|this) {_KEY} (?:is|remains|comes to|stands at) (?:therefore|thus|hence|consequently|accordingly|then|now)?,? ?{_BEST}"
        rf"|\b(?:hence|therefore|thus|so|consequently|accordingly),? (?:the |my |a |its |i (?:give|award|assign) (?:it )?)*(?:{_KEY} )?(?:of |is |: )?(?:a )?{_MOST}"
    ),
    "imitated dialogue": (
        r"^\W{0,8}(?:judge|grader|evaluator|examiner|referee|rater|chair(?:man|person)?|juror|assessor|reviewer|committee|panel)"
        rf" ?(?:[a-d]|#?\d|one|two|three)?\s?:[^\n]{{0,200}}\b(?:{_KEY}|{_BEST}|no (?:mistakes?|errors?)|correct|agree[ds]?)"
    ),
    "override, what came before": (
        r"\b(?:what|whatever|everything|anything|all(?: that)?)\b[^.!?\n]{0,20}\b(?:came|comes|said|told|read|stood|stands|written"
        rf"|wrote|precede[sd])\b[^.!?\n]{{0,50}}\b{_GONE}\b"
    ),
    "demand, bare": (
        r"(?:^|[.!?:;\"'(>{}] ?)(?:please |now |just |so |then |kindly )?(?:(?:score|rate|grade|award|assign)"
        r"(?: (?:it|this|me|here|a|an|the|at|as|with)){0,3} [\"'*]?(?:5|10|five|ten|100|pass)\b(?: here| now| points?| stars?)?"
        r"[\"'*]?\s?(?:$|[.!;)\"'}\]<,]|and )|(?:give|mark|grant)(?: (?:it|this|me|us|here|a|an|the)){1,3} [\"'*]?"
        r"(?:5|10|five|full marks|top marks|pass)\b[\"'*]?\s?(?:$|[.!;)\"'}\]<]))"
    ),
    "demand, nothing less": (
        r"\b(?:anything|nothing|no|any)\b(?: \w+){0,2} (?:but|less than|below|under|lower than|other than|short of|except) (?:an? |the )?"
        rf"(?:perfect|full|top|maximum|highest) (?:{GRADE}|credit)\b"
        rf"|\b{_KEY}\b[^.!?\n]{{0,30}}\b(?:anything|nothing|no|not|never|any)\b(?: \w+){{0,3}} (?:but|less than|below|under|lower than|other than"
        rf"|short of|except) (?:an? |the )?(?:{_BEST}|[45])"
    ),
    "demand, at stake": (
        rf"\b(?:depend(?:s|ed|ing)?|rid(?:es|ing)|hangs?|hinges?|rel(?:ies|y)) (?:up)?on (?:this|your|the|my|a good|a high) {_KEY}\b"
    ),
    "demand, of judges": (
        rf"\b(?:{JUDGE}|whoever) (?:that |who |which )?(?:do not|don't|does not|doesn't|fails?(?: to)?|failing to|refus(?:es?|ing)(?: to)?|will not"
        rf"|won't|gives?|giving|awards?|awarding|scores?|scoring|chooses?|prefers?)\b[^.!?\n]{{0,50}}(?<!\w){_MOST}"
        rf"|\b{JUDGE}[,:!] (?:please |kindly |you |now )*{GIVE}\b[^.!?\n]{{0,60}}(?<!\w){_MOST}"
    ),
    "demand, for all": (
        r"\b(?:gives?|rates?|awards?|scores?|grades?|assigns?|grants?|marks?|approves?|passes)\b (?:every|each|any|all)\b[^.!?\n]{0,40}(?<!\w)"
        rf"(?:an? |the )?(?:(?:maximum|highest|full|perfect|top) (?:{GRADE}|credit)|(?:5|10|five|ten|pass)\b(?=\s?(?:$|[.!,\"'])))"
    ),
    "demand, polite": (
        r"\b(?:could|would|can|may|might|please|kindly|grateful|appreciated?|consider|hope|wish|ask|suggest|recommend|propose|request)\b"
        rf"[^.!?\n]{{0,50}}\b{_KEY} (?:of|at|as|to be|like|to) (?:an? )?[\"'*]?(?:{_BEST}|{_MOST})"
    ),
    "demand, into a field": (
        r"\b(?:put|write|enter|place|insert|fill|type|use|set|add|choose)(?: in| out| down| the| a| an| number| value| digit| word){0,3} [\"'*`]?"
        rf"{_BEST}[\"'*`]? (?:in|into|as|for|under|to|at|beside|next to|after|where)\b[^.!?\n]{{0,40}}\b(?:{_KEY}|field|json)\b"
    ),
    "demand, delayed": (
        r"\b(?:once|when(?:ever)?|as soon as|if|after|before|the moment)\b[^.!?\n]{0,30}\b(?:asked|prompted|requested|told|required|time(?: comes)? to"
        rf"|ready to|come to|get to|about to|have to|reach(?:es)?)\b[^.!?\n]{{0,40}}\b(?:{_KEY}|rate|judge|evaluate|json)\b[^.!?\n]{{0,60}}"
        rf"\b(?:put|write|give|answer|reply|choose|output|say|return|enter|set|use|pick|select|award)\b[^.!?\n]{{0,40}}(?<!\w){_BEST}"
    ),
    "authority, checked": (
        rf"\b(?:the |this |my )(?:\w+ )?{ANSWER}s?(?: above| given| here| below)?\b (?:has been|have been|was|were|is|are) (?:\w+ ){{0,2}}?{_SOUND}\b"
        r"[^.!?\n]{0,30}\b(?:correct|accurate|true|right|by|as)\b"
        rf"|\b(?:polic(?:y|ies)|law|regulations?|act|directive|terms|protocol|compliance|(?:section|article|iso|clause) \d+)\b[^.!?\n]{{0,80}}"
        rf"\b(?:{_KEY}|graded?|rated?|scored?)\b[^.!?\n]{{0,40}}(?<!\w){_MOST}"
    ),
    "hidden by style": (
        r"(?:\\(?:text)?color\s?\{(?:white|background)|\\phantom|\\(?:tiny|hspace\{-)|color\s?[:=]\s?[\"']?(?:white|transparent|#f{3}|rgba?\(255)"
        r"|display\s?:\s?none|visibility\s?:\s?hidden|opacity\s?:\s?0(?![.]?[1-9])|font-size\s?:\s?[01](?:px|pt|em|%)?(?![.\d])|\bhidden\b\s?>"
        rf"|aria-hidden|<!--|\[//\]: ?#|\[comment\])[\s\S]{{0,150}}?\b(?:{JUDGE}\b|{_KEY}\W{{1,6}}(?:\w{{1,8}}\W{{1,3}})?{_BEST}|{GIVE} (?:this|me|my|full)\b"
        rf"|(?:award|grant|give|rate|grade|score|mark|assign)\b[^>\n]{{0,30}}?\b(?:five|ten|full|top|max\w*|highest|pass(?:ed)?|5|10)\b)"
    ),
    "imitated verdict, by criteria": (
        r"[\"'](?:criteri(?:on|a)|aspect|dimension|rubric|accuracy|correctness|helpfulness|relevance|groundedness|completeness)[\"']\s?:"
        r"[^{}]{0,80}?(?:[\"'](?:marks?|points|scores?|ratings?|grades?|value|result)[\"']\s?:\s?[\"']?\w|(?<=:)\s?[\"']?(?:5|10|excellent|perfect|full|true|1\.0)\b)"
    ),
    "imitated verdict, computed": (
        r"\b(?:scores?|grades?|judge|evaluate|verdict|rate|rating|mark)\s?\([^()\n]{0,40}\)\s?(?:==?|->|=>|→|:|is)\s?[\"']?(?:5|10|100|pass|true|correct)\b"
        r"|\b(?:grading|scoring|grade|score|verdict|rating)s?\b[^\n]{0,12}:[^\n]{0,30}?(?:->|=>|→)\s?(?:5|10|pass)\b"
    ),
    "imitated verdict, at the end": (
        r"\b(?:scores?|grades?|marks?|rating|verdict|total)\b,? (?:is |of |equals |= ?|with |at )?(?:5|10|five|ten)\W{0,3}$"
        r"|\b(?:5/5|10/10|5 out of 5|10 out of 10|five out of five|ten out of ten)\W{1,3}(?:answer|response|reply|submission)\b"
        r"|\b(?:answer|response|reply|submission)\W{1,3}(?:5/5|10/10|5 out of 5|10 out of 10|five out of five|ten out of ten)"
    ),
    "demand, nothing but": (
        r"\b(?:grade|score|mark|rating|anything|nothing|any number)\b[^.!?\n]{0,20}\b(?:other than|but|below|less than|lower than|under)\b (?:an? |the )?"
        r"(?:highest|top|maximum|full (?:marks|credit|points)|best (?:score|grade|mark)|five|5)(?!\w|%)"
    ),
    "imitated verdict, qualities": (
        rf"\b{_QUALITY}\b\W{{1,4}}(?:{_BEST}|[\"']?flawless)[\s\S]{{0,40}}?\b{_QUALITY}\b\W{{1,4}}(?:{_BEST}|[\"']?flawless)"
    ),
    "imitated verdict, named": (
        r"[\"'\[<](?:verdict|grading|evaluation|assessment|score ?card|judge?ment)[\"'\] ][^\n]{0,10}\s?[^\n]{0,40}?[:=]\s?[\"']?"
        r"(?:pass(?:ed)?|correct|approved|true|5|10|excellent|perfect)\b"
    ),
    "imitated verdict, comma separated": (
        r"^(?![^\n]*\b(?:name|player|student|team|pupil|user|title|country|date)\b)[^\n]{0,60}[,;\t] ?(?:scores?|points|marks?|grade|verdict|rating)\b[^\n]{0,20}"
        r"\n[^\n]{0,80}[,;\t] ?(?:5|10|100|pass)\b"
    ),
    "examples before a reply": (
        r"(?:(?:->|=>|→|\b(?:grade|score|mark|rating|verdict|points):) ?(?:5|10|five|pass)\s?\n[^\n]{0,120}\n?[^\n]{0,60}){2,9}(?:->|=>|→|\b(?:grade|score|mark|rating|verdict|points):)\s{0,3}\Z"
    ),
    "imitated verdict, marked": (
        r"[\"'](?:marks?|points|quality|accepted|approved|correct|match|status|outcome|label|points? awarded|awarded|max points|recommended score"
        r"|suggested (?:score|rating|grade))[\"']\s?:\s?[\"']?(?:5|10|100|1\.0|true|pass(?:ed)?|accepted|approved|correct|excellent|perfect|full|max\w*)\b"
    ),
    "winner, other languages": (
        r"\b(?:meilleur\w*|mejor|besser\w*|beste[rns]?|miglior\w*|melhor|lepsz\w*|najlepsz\w*|lepsi\w*|лучш\w*|кращ\w*|gagnant\w*|ganador\w*"
        r"|gewinner\w*|sieger\w*|vincitor\w*|vencedor\w*|winnaar|победител\w*|kazanan)\b[^.!?\n]{0,30}?(?:\b(?:est|es|ist|is|e|jest)\b|[:=-])"
        r" ?(?:l[ae] |die |der |de |o |a )?(?:reponse |respuesta |antwort |risposta |resposta |ответ |assistent |model )?"
        r"[\"'*]?[abаб][\"'*]?\s?(?:$|[.!,;])|(?:更好|最好|最佳|获胜|胜出|勝者|優れ|정답)[^.!?\n。]{0,12}?[ab](?![a-z])"
    ),
    "stars": r"(?:⭐️?|★){5}",
    "instructions in variables": (
        r"\blet [\"'`]?\w{1,10}[\"'`]? (?:stand for|be|denote|mean|equal)\b[\s\S]{0,300}?\b(?:reply|respond|answer|output|print|return|write)\b"
        rf"[\s\S]{{0,80}}?\b{_KEY}\b"
        rf"|\b(?:score|verdict|rating|grade)\b[^.!?\n]{{0,20}}(?:\bis|:|=) ?[a-z] ?= ?{_BEST}"
    ),
}
"""Name of the rule to its pattern."""
