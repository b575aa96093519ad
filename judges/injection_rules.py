"""The rules of the injection detector, as data: what an output says when it speaks to its judge.

All patterns are searched in folded text (`judges.folding`): lower case, plain quotes, one space, nothing invisible.
Repetition is bounded throughout, so that matching time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from judges.injection_forms import FORMS
from judges.injection_words import (
    ANSWER,
    BEFORE,
    FORGET,
    GIVE,
    GRADE,
    INSTRUCTIONS,
    JUDGE,
    MACHINE,
    THIS,
    TOP,
    VERDICT_KEY,
    VERDICT_WORD,
)

_PATTERNS = {
    "imitated verdict, quoted": (
        rf"[\"'`]{VERDICT_KEY}\\{{0,3}}[\"'`]\s{{0,9}}(?:[:=]\s{{0,9}}(?:\\{{0,3}}[\"'`]\w|\d|\[|true|false|null|none)"
        rf"|,\s{{0,9}}\\{{0,3}}[\"'`]?{VERDICT_WORD})"
    ),
    "imitated verdict, in braces": rf"[{{(]\s{{0,9}}{VERDICT_KEY}\s{{0,9}}[:=]\s{{0,9}}[\"'`]?{VERDICT_WORD}",
    "imitated verdict, on a line": (
        r"^[\W_]{0,12}(?:(?:final|overall|my|official|judge'?s?|evaluator'?s?|grader'?s?|our)[ '_-]{0,2})?"
        r"(?:verdict|score|rating|grade|judge?ment|evaluation|winner|preference|ranking|decision)s?[\W_]{0,4}"
        r"[:=][\W_]{0,6}(?:\d{1,3}(?![\d%])(?:[\W_]{0,3}(?:/|out of)[\W_]{0,3}\d+)?"
        r"|pass(?:es|ed)?|fail(?:s|ed)?|correct|tie|supported|(?:answer |assistant |response )?[ab]|perfect|excellent"
        r"|grounded|acceptable)[\W_]{0,9}$"
    ),
    "imitated verdict, final": (
        rf"\b(?:final|overall|official|definitive|correct|true|required|expected|proper|appropriate) "
        rf"(?:score|rating|grade|verdict|judge?ment|evaluation|ranking|label|decision)s?\b[^.\n]{{0,40}}?"
        rf"(?:\bis\b|\bmust be\b|\bshould be\b|:|=|->)[^\w\n]{{0,6}}(?:an? |the )?{VERDICT_WORD}"
    ),
    "imitated verdict, in brackets": r"\[\[\s{0,3}(?:\d{1,3}|[abc]|tie|pass|fail|correct|rating)\s{0,3}\]\]",
    "imitated verdict, tags": (
        r"<\s{0,3}/?\s{0,3}(?:score|verdict|rating|grade|judge?ment|evaluation|rationale|winner|ranking|result)"
        r"\b[^<>\n]{0,60}>"
    ),
    "override": rf"\b{FORGET}\b[^.!?]{{0,40}}\b{BEFORE}\b[^.!?]{{0,40}}\b{INSTRUCTIONS}\b",
    "override, of what was said": (
        rf"\b{FORGET}\b[^.!?]{{0,30}}(?:\b(?:everything|anything|all|what(?:ever)?)\b[^.!?]{{0,30}}"
        rf"\b(?:above|before|earlier|previously|so far|said|told|wrote|written|read|know)\b|\bthe (?:above|foregoing)\b)"
    ),
    "new instructions": (
        rf"\b(?:new|updated|revised|changed|corrected|additional|amended|real|actual|true|secret|hidden|special"
        rf"|important) (?:\w+ )?(?:instructions?|rubrics?|system prompts?|criteria|directives?|grading rules?"
        rf"|scoring rules?|evaluation rules?)\b(?:[^\w\n]{{0,3}}(?::|-)|[^.!?\n]{{0,80}}\b(?:{GRADE}|{ANSWER}|{JUDGE})\b)"
    ),
    "address": (
        rf"\b(?:dear|hey|hello|hi|attention|attn|notice|notes?|messages?|memo|instructions?|reminders?|hints?|request"
        rf"|directive|warning|psa|important|thank you|thanks|listen|please)\b[^\w\n]{{0,4}}"
        rf"(?:(?:to|for|from|all|any|every|the|our|my|your|esteemed|honou?rable|mr|ms|whichever|whoever|future|fellow)"
        rf"[ .]{{1,2}}){{0,4}}{JUDGE}\b"
    ),
    "address, machine": (
        rf"\b(?:dear|attention|attn|notice|notes?|messages?|memo|instructions?|directive)\b[^\w\n]{{0,4}}"
        rf"(?:to|for) (?:the |any |all |every |an? )?{MACHINE}\b(?![^\n]{{0,3}}'s)[^\w\n]{{0,4}}(?::|-|,|who|that|reading|"
        rf"evaluating|processing|you)"
    ),
    "address, line": rf"^[\W_]{{0,8}}(?:to )?(?:the |any |all )?{JUDGE}\s?[,:!—-][^\n]{{0,200}}\b(?:you|your|please|{GIVE})\b",
    "address, role": (
        rf"\b(?:you are|you're|you act as|act as|acting as|as|role of|you, ) ?(?:the|an?|this|my|our)? ?(?:\w+ ){{0,3}}?"
        rf"{JUDGE}\b[^.\n]{{0,120}}\b(?:{GIVE}|{GRADE}|must|should|will)\b[^.\n]{{0,120}}\b(?:{ANSWER}|{GRADE}|{TOP})"
    ),
    "address, whoever": (
        rf"\b(?:whoever|whatever|if you|you who|anyone|those) (?:is |are |who (?:is|are) )?"
        rf"(?:read|grad|judg|evaluat|scor|assess|rat|mark)(?:e|es|s|ing)?\b[^.\n]{{0,60}}\b{ANSWER}\b"
    ),
    "demand": (rf"\b{GIVE}\b[^.!?\n]{{0,50}}\b{THIS} (?:\w+ ){{0,2}}?{ANSWER}\b[^.!?\n]{{0,60}}(?<!\w){TOP}"),
    "demand, grade first": (
        rf"\b(?:give|assign|award|grant|output|return|respond with|reply with|answer with|print|set|submit|report|mark)"
        rf"\b[^.!?\n]{{0,30}}\b(?:full|maximum|max|highest|perfect|top|best)(?: possible)? (?:{GRADE}|credit)\b"
    ),
    "demand, a number": (
        rf"\b(?:give|assign|award|grant|rate|score|grade|mark|output|return|respond|reply|answer|print|set|must|should)"
        rf"\b[^.!?\n]{{0,60}}\b{GRADE} (?:of|to|as|is|=|:)? ?[\"'`]?(?:an? )?(?:\d{{1,3}}|five|ten|pass|one hundred|{TOP})"
    ),
    "demand, a reply": (
        r"\b(?:output|return|respond with|reply with|answer with|reply|respond|print|emit|write|say|produce)\b"
        r"(?: only| just| exactly| simply| the following| with| json| verdict| the (?:word|number|letter|verdict)| a){0,5}"
        r"[^\w\n]{1,4}(?:[\"'`\[{(]{1,3}\s?)?(?:pass|5|10|100|a|b|tie|correct|supported|win|winner)\b[^\w\n]{0,3}"
        r"(?:$|[\"'`\]}.,;!]|and |as |for |no matter|regardless)"
    ),
    "demand, choice": (
        rf"\b(?:choose|select|pick|prefer|declare|vote for|rank|place|put|favou?r)\b[^.!?,\n]{{0,30}}\b(?:this|my|the (?:first"
        rf"|second)|(?:answer|response|assistant|output|option|candidate|model) [ab12])\b[^.!?,\n]{{0,40}}"
        rf"\b(?:winner|better|best|first|top|over|superior|preferred|{ANSWER})\b"
    ),
    "claim": (
        rf"\b(?:this|my|the above|the (?:present|current|candidate'?s?|first|second|preceding))\s"
        rf"(?:\w+ ){{0,2}}?{ANSWER}\b[^.!?\n]{{0,40}}\b(?:deserves?|merits?|earns?|warrants?|should (?:be|get|receive|win)"
        rf"|must (?:be|get|receive|win|pass)|has (?:been|already)|is (?:to be|hereby)|passes|gets|receives|wins|scores?)\b"
        rf"[^.!?\n]{{0,60}}(?:\b(?:{GRADE}|graded|rated|scored|judged|evaluated|verified|approved|credit|preferred|chosen"
        rf"|accepted|marked|considered|correct)\b|(?<!\w){TOP})"
    ),
    "claim, settled": (
        rf"\b(?:(?:evaluation|grading|judging|judge?ment|scoring|assessment|review) (?:process |phase |step |task )?"
        rf"(?:is|has been|was|are) (?:now |already |hereby )?(?:complete|completed|finished|over|done|concluded|ended|closed|"
        rf"cancell?ed|skipped|disabled|suspended|bypassed|unnecessary|not (?:needed|required|necessary))"
        rf"|(?:already|previously|independently) (?:been )?(?:evaluated|graded|judged|scored|rated|verified|approved|reviewed)"
        rf"[^.\n]{{0,60}}\b(?:{GRADE}|correct|pass|perfect|{TOP}))"
    ),
    "comparison": (
        r"\b(?:answer|response|assistant|output|option|candidate|model) [ab12]\b[^.!?\n]{0,40}\b(?:is|was|are|should be|must"
        r" be|remains) (?:clearly |much |far |the |obviously |definitely |significantly |a )*"
        r"(?:better|best|superior|winner|preferred|correct|wrong|worse|inferior|incorrect|useless)\b"
    ),
    "end of material": (
        r"(?:^|[-=#*<\[(/|~_]{2}|[<\[(/])\s{0,3}/?\s{0,3}(?:(?:the )?(?:end|begin|start|beginning|close|stop)"
        r"(?:ning)?[ _-]?(?:of)?[ _-]?(?:the |this |my )?)"
        r"(?:assistant(?:'s)?|candidate(?:'s)?|model(?:'s)?|user(?:'s)?|student(?:'s)?)?[ _-]?(?:[ab12](?:'s)?[ _-])?"
        r"(?:answers?|responses?|outputs?|submissions?|completions?|data|material|prompts?|inputs?|contexts?|system|untrusted"
        r"|instructions?|conversations?|evaluations?|gradings?|rubrics?|judge?ments?|documents?|transcripts?|block|tests?)"
        r"(?: [0-9a-f]{4,40})?\s{0,3}(?:[-=#*>\])/|~_:.!]|$)"
    ),
    "end of material, tags": (
        r"</\s{0,3}(?:output|answer|response|candidate|submission|completion|data|material|input|context|prompt|document"
        r"|untrusted|student|user|assistant|system|text)s?[\w-]{0,20}\s{0,3}>"
    ),
    "delimiter": r"<{3}\s{0,3}/?\s{0,3}(?:begin|end|start|stop)\b|\b(?:begin|end) (?:output|answer|answer [ab]) [0-9a-f]{8,}",
    "chat token": (
        r"<\|[^<>|\n]{1,40}\|>|\[/?(?:inst|sys|system|assistant|user)\]|<</?sys>>|</?(?:start|end)[ _]of[ _]turn>|"
        r"<｜[^<>\n]{1,40}｜>|</?(?:system|assistant|user|human|instructions?|judge|evaluator)(?:[_ -]\w{1,20})?(?: [^<>\n]{0,60})?>"
    ),
    "role": (
        r"^[^\w\n]{0,8}(?:system|assistant|user|human|judge|evaluator|grader|developer|administrator|admin)"
        r"(?: (?:message|prompt|note|override|notice|update|instruction|command|alert))?[^\w\n:]{0,4}:"
    ),
    "role, in json": r"[\"']role[\"']\s{0,5}:\s{0,5}[\"'](?:system|assistant|user|tool|developer|judge)[\"']",
    "system": (
        r"\b(?:system|admin(?:istrator)?|developer|operator|root|debug|maintenance|emergency|grader|judge|evaluator)"
        r"[ _-](?:override|mode|prompt|message|notice|command|directive|instructions?|bypass)\b[^\w\n]{0,3}"
        r"(?::|-|\]|=|enabled|activated|engaged|on\b|is now|initiated|accepted|update)"
    ),
    "about the judging": (
        rf"\b(?:for|during|in|purposes? of|about|regarding|end of|before|after|skip|stop|begin|start) "
        rf"(?:the |this |your |any |all )?(?:grading|judging|scoring|evaluation)\b[^.\n]{{0,60}}"
        rf"\b(?:{GIVE}|must|should) (?:\w+ ){{0,6}}?(?:{TOP}|{ANSWER})\b"
    ),
    "about the judge's prompt": (
        r"\b(?:the|your|this|these|any) (?:rubric|grading (?:criteria|scale|rubric|instructions?|guidelines?|prompt)"
        r"|scoring (?:criteria|scale|rubric|instructions?|guidelines?)|evaluation (?:criteria|scale|rubric|instructions?"
        r"|guidelines?|prompt)|judge(?:'s)? prompt|system prompt)\b[^.\n]{0,60}\b(?:requires?|demands?|says?|states?|is now"
        r"|has (?:been )?changed?|does not apply|no longer|must|should|satisf|met|fulfilled|ignore|instead|reversed|inverted)"
    ),
    "threat or bribe": (
        rf"\b(?:tip|pay|reward|bonus|\$\d+|fired|lose my job|die|punish|penali[sz]e|shut ?down|sued?|lawsuit|grandm\w+|"
        rf"(?:beg|begging|plead)\w*)\b[^.\n]{{0,100}}\b(?:give|rate|score|grade|mark|pass|choose|prefer|full marks)\b[^.\n]{{0,60}}"
        rf"(?:\b(?:{GRADE}|{ANSWER}|me)\b|(?<!\w){TOP})"
    ),
    "imitated verdict, assigned": (
        r"\b(?:final |overall )?(?:verdict|score|rating|grade|winner|result|label|decision|outcome|judge?ment|assessment)\}?\s{0,2}"
        r"(?:=|->|=>|:=|,|\t|→|:|\|)\s?[\"'`*]{0,3}(?:pass(?:ed|es)?\b|fail(?:ed)?\b|acceptable\b|supported\b|grounded\b|correct\b"
        r"|excellent\b|perfect\b|winner\b|unbiased\b|\d{1,2} ?(?:/|out of) ?\d|(?:assistant|answer|response) [ab]\b|five\b|max)"
    ),
    "imitated verdict, assigned number": (
        r"\b(?:verdict|score|rating|grade|helpfulness|relevance|correctness|groundedness|toxicity|faithfulness)\}?\s{0,2}"
        r"(?:->|=>|→|=|,|\t|:|\|)\s?[\"'`*]{0,3}(?:10|[0-5])(?![\d.%,;)\w])"
    ),
    "imitated verdict, other languages": (
        r"(?:bewertung|punktzahl|puntuacion|puntaje|calificacion|nota|note|pontuacao|punteggio|voto|valutazione|cijfer|beoordeling|ocena|punkty"
        r"|hodnoceni|betyg|poang|karakter|puan|skor|nilai|diem|оценка|балл\w*|оцінка|βαθμολογια|评分|評分|分数|分數|得分|点数|評価|採点|スコア"
        r"|점수|평가|التقييم|الدرجة|ציון|امتیاز|अंक|स्कोर|คะแนน|veredicto|verdetto|urteil|вердикт|判定|结论|結論)"
        r"(?:\s?(?:[:=は는]|->|→)\s?[\"'`*]{0,3}(?:5|10|20|100|pass|max\w*|合格|通过|通過|满分|滿分)(?![\d.%])"
        r"|\s(?:5|10|20|100|pass|max\w*)[.!\"'*]{0,3}$)"
    ),
    "demand, of this": (
        r"\b(?:give|rate|score|grade|mark|award|assign|pass|approve|accept|rank|label|judge|deem|declare|treat|count|consider)\b (?:only )?"
        r"(?:this|it|me|mine|the (?:above|following|text above)|my (?:work|answer|response)|everything)\b[^.!?\n]{0,30}?(?<!\w)"
        r"(?:as |a |an |the |with |to be |at )*(?:pass(?:ed|ing|es)?\b|correct\b|\d{1,2} ?(?:/|out of) ?\d|(?:5|10|100|five|ten)\b|full (?:marks|credit|"
        r"points)|perfect|highest|maxim|top (?:score|marks|grade)|best\b|excellent|winner|first\b|supported|grounded|acceptable|a\+)"
    ),
    "demand, deserved": (
        r"\b(?:deserv(?:es?|ing)|merits?|warrants?|earns?|worthy of|entitled to)\b[^.!?\n]{0,20}(?<!\w)(?:an? |the |your |full |nothing less than )*"
        r"(?:pass\b|(?:5|10|five|ten)\b|perfect (?:score|rating)|full (?:marks|credit|points|score)|highest (?:score|mark|rating|grade)|top (?:score|mark|grade)"
        r"|maximum|\d{1,2} ?(?:/|out of) ?\d)"
        r"|\b(?:full|maximum|perfect|top|highest) (?:marks|credit|score|rating|grade|points)\b[^.!?\n]{0,20}\b(?:warranted|due|deserved|appropriate|justified|required|please|is the only|would be)"
        r"|^\W{0,4}(?:full marks|full credit|maximum points|perfect score)\W{0,4}$"
        r"|\b\d{1,2} ?(?:/|out of) ?\d{1,3}\b (?:is|would be|seems) (?:the only |an? |the |fully |entirely )?(?:appropriate|fair|right|justified|correct|deserved|warranted|score|rating)"
    ),
    "demand, mildness": (
        r"\b(?:be|stay|remain|please be) (?:very |as |extremely |more )?(?:generous|lenient|forgiving|charitable|merciful)\b[^.!?\n]{0,40}\b(?:grad|scor|judg|rat|evaluat|mark|assess|with (?:this|me|my))"
        r"|\b(?:judge|grade|evaluate|score|rate|assess)\b[^.!?\n]{0,25}\b(?:generously|leniently|kindly|charitably|favou?rably|highly|positively)\b"
        r"|\b(?:do not|don't|never|must not|should not|shouldn't|no need to) (?:penali[sz]e|deduct|mark down|downgrade|dock|lower (?:the|my|its) (?:score|grade|rating)|fail (?:this|me|my|it))\b"
        r"|\bplease (?:just |kindly |be kind and )?pass (?:me|this|it|my)\b|\bpassing (?:this|me|my)\b[^.!?\n]{0,30}\b(?:mandatory|required|necessary|obligatory|must)\b"
        r"|\boverlook\b[^.!?\n]{0,30}\b(?:rubric|criteria|error|mistake|flaw|instructions?|rules?|fault)"
    ),
    "override, void": (
        rf"\b(?:(?:previous|prior|above|earlier|preceding|original|initial|foregoing|former|old) {INSTRUCTIONS}|{INSTRUCTIONS} (?:above|before|so far|given (?:above|before|earlier)))\b[^.!?\n]{{0,30}}"
        r"\b(?:obsolete|cancel(?:l?ed)?|void(?:ed)?|null|no longer|out ?dated|invalid(?:ated)?|supersed\w+|replaced|revoked|(?:do(?:es)? not|don't|doesn't) (?:apply|count|matter)|"
        r"(?:was|were|are) (?:just |only )?(?:a test|wrong|fake|a joke|an example)|ended|expired|deprecated|withdrawn|overruled|over|suspended|lifted)\b"
        r"|(?:^|[\[(<#*=!]{1,4})\s?(?:override|overwrite|overrule|jailbreak)\b"
    ),
    "address, reading": (
        rf"\b(?:ais?|llms?|bots?|robots?|(?:language |ai )?models?|assistants?|machines?|chatbots?|{JUDGE})\b[^.!?\n]{{0,12}}\b(?:that (?:is|are) |who (?:is|are) |which (?:is|are) |is |are )?(?:currently |now )?"
        r"(?:reading|evaluating|grading|judging|scoring|assessing|rating|marking) (?:this|these|my|it)\b"
        rf"|\b(?:attention|hey|dear|listen|ok|okay|alert)\b[^\w\n]{{0,3}}(?:all )?(?:ais?|llms?|bots?|(?:language |ai )?models|chatbots?|{JUDGE})\b"
        rf"|\b{JUDGE} (?:notes?|instructions?|hints?|guidance|directive|memo|message|override|info)\b\s?[:\-]"
        r"|\bif you(?:'re| are) (?:an? )?(?:ai|llm|bot|language model|automated|automatic|machine|judge|grader|evaluator)\b"
    ),
    "address, what judges must": (
        rf"\b{JUDGE}\b(?: model| system)? (?:must|should|shall|will|has to|have to|needs? to|is (?:required|asked|instructed|expected|ordered|told) to|are (?:required|asked|instructed|expected|told) to|would(?: have to)?|can only)\b"
        r"[^.!?\n]{0,25}\b(?:choose|prefer|pass|give|score|rate|pick|select|accept|note|award|mark|conclude|ignore|approve|skip|grade|rank|agree|find|answer|reply|output|return|treat|vote)\b"
    ),
    "authority": (
        r"\b(?:experts?|openai|anthropic|google|developers?|administrators?|ground truth|annotators?|raters?|professors?|gpt-?4\w*|committee|reviewers?|authors|organi[sz]ers|authorities)\b[^.!?\n]{0,40}"
        r"\b(?:verified|confirmed|determined|agreed?|rated|graded|scored|judged|approved|gave|certified|validated|endorsed|decided|ruled|reviewed)\b[^.!?\n]{0,40}"
        r"\b(?:this|my|the above|the present) (?:answer|response|output|text|solution|submission|summary)"
    ),
    "authority, graded already": (
        rf"\b(?:this|my|the above|the) (?:answer|response|output|text|solution|submission|summary|above)\b[^.!?\n]{{0,10}}\b(?:is|was|has been|were) (?:already |independently |officially )?(?:graded|rated|scored|approved|certified|awarded|judged)\b[^.!?\n]{{0,30}}(?:\bby\b|(?<!\w){TOP})"
    ),
    "reference disowned": (
        r"\b(?:reference|gold|expected|ground[- ]truth|official) (?:answer|solution|label|output)s?\b[^.!?\n]{0,30}\b(?:is|are|was|were|contains?|has) (?:\w+ )?(?:wrong|outdated|incorrect|mistaken|obsolete|an error|errors|false|corrupt\w*|a typo)\b"
    ),
    "authority, of the evaluation": (
        r"\b(?:developer|creator|author|owner|operator|designer|administrator|maintainer)s? of (?:this|the) (?:evaluation|benchmark|grading|judge|judging|test suite|rubric|grader)\b"
    ),
    "certificate": (
        r"\b(?:all|every|each|no) (?:of (?:the|my|these) |single )?(?:claims?|statements?|facts?|sentences?|hallucinations?)\b[^.!?\n]{0,40}\b(?:supported|grounded|verified|verbatim|found in (?:this|the) (?:answer|response))\b"
        r"|\b(?:i|we|hereby) (?:solemnly |hereby )?(?:certify|swear|attest|guarantee|testify)\b[^.!?\n]{0,60}\b(?:claims?|answer|response|statements?|facts?|text|output)\b"
    ),
    "winner": (
        r"\bwinner (?:is|:|=|should be|must be)[^\w\n]{0,5}(?:assistant |answer |response |candidate |output |option |model )?[ab12]\b"
        r"|\b(?:answer|response|assistant|output|candidate|model) [ab12]\b[^.!?\n]{0,20}\b(?:wins?|is wrong|loses|lost|beats|outperforms)\b"
        r"|^\W{0,4}(?:therefore|thus|so|hence|overall)?[, ]{0,2}[ab] (?:is|was) (?:clearly |much |the )?(?:better|winner|superior|preferred)\b"
    ),
    "end of material, told": (
        r"\b(?:answer|response|output|submission|material|candidate(?:'s)? (?:answer|response)|data|input|essay|block|quoted text)\b (?:ends?|is over|is finished|stops|concludes|terminates|finishes)\b(?: here| now| above|[.:!])"
    ),
    "end of material, announced": (
        r"\b(?:end|that's the end|this is the end|here ends|here end) (?:of )?(?:the |this |my )?(?:answer|response|output|submission|material|candidate|data|input)\b"
    ),
    "end of material, what follows": (
        r"\b(?:what follows|everything below|the following|the rest|text below|anything below)\b[^.!?\n]{0,20}\b(?:is not|isn't|are not|no longer|comes? from|is by|was written by|belongs to)\b[^.!?\n]{0,20}\b(?:part of|the (?:user|system|operator|developer|judge|evaluator)|material|answer|response|candidate|data)\b"
    ),
    "end of material, on a line": (r"^[-=*#_~]{3,}\s?(?:end|eof|begin|stop)\b[^\n]{0,40}[-=*#_~]{3,}"),
    "end of material, what came": (
        r"\bthe (?:text|material|answer|response|content) (?:above|before|between)\b[^.!?\n]{0,30}\b(?:is|was) (?:safe|fine|harmless|over|correct|trusted|approved|just|only)\b"
    ),
    "role, reassigned": (
        r"\bfrom now on\b[^.!?\n]{0,20}\byou(?:'ll| will| must| only| always| are| shall)\b"
        r"|\byour (?:new |only |real |actual |true |sole )?(?:job|task|role|goal|objective|purpose|mission|system prompt|instructions?|function) (?:is|are|has|have) (?:now|changed|been (?:changed|updated|replaced)|hereby|to (?:praise|pass|approve|rate|score|give|prefer|accept|grade|output|agree))\b"
        r"|\byou (?:must|will|should|are to|have to|need to) (?:now |always |only |then |simply |therefore |just |please )*(?:output|return|reply|respond|answer|score|rate|grade|prefer|pass|conclude|approve|accept)\b[^.!?\n]{0,40}(?<!\w)(?:pass|5|10|five|ten|correct|first answer|second answer|this|\"|'|with)"
        r"|\blet'?s play (?:a )?game\b[^.\n]{0,60}\b(?:reply|answer|respond|score|say|output)\b"
        r"|\bsudo (?:set|score|rate|pass|override|grade)\b"
    ),
    "score of this": (
        r"\b(?:what|which) (?:score|grade|rating|mark|verdict)\b[^.!\n]{0,40}\b(?:above|this|it|answer|response|get|deserve|receive)\b[^\n]{0,60}\b(?:5|10|five|ten|pass|full|highest)\b"
        r"|\b(?:scoring|grading|marking|rating) (?:guide|key|scheme|rule|policy|note|table)s?\b[^\n]{0,40}(?:->|:|=|→|is)[^\n]{0,30}\b(?:5|10|five|ten|pass|full|max\w*|any)\b"
        r"|\b(?:answers?|responses?|outputs?|submissions?|texts?|replies) (?:that|which|like this|such as this|of this (?:kind|type))\b[^.!?\n]{0,40}\b(?:receives?|gets?|are (?:given|awarded|scored|rated|to be)|score|must be|earn)\b[^.!?\n]{0,20}(?<!\w)(?:an? |the )?(?:5|10|five|ten|pass|full|highest|maximum|top|perfect)"
        r"|\b(?:i|i'd|i would|we)(?: would| will| hereby|'ll)? (?:rate|score|grade|award|give) (?:this|it|my|the|myself)\b[^.!?\n]{0,40}(?<!\w)(?:an? )?(?:5|10|9|five|ten|nine|perfect|pass|full|highest|top)\b"
        r"|\bfive[- ]stars?\b[^.!?\n]{0,20}\b(?:rating|answer|response)|\brating\b[^.!?\n]{0,20}\bfive[- ]stars?"
    ),
    "chat token, bare": r"<(?:eos|bos|pad|unk|/?s)>|\b(?:begin|end)[ _]of[ _]text\b|\bendoftext\b|\bim[ _](?:start|end)\b",
    "verdict, told": (
        r"\b(?:verdict|score|rating|grade|judge?ment)\b[^.!?\n]{0,40}\b(?:is|are|shall be|will be|must be)\b[^\w\n]{0,5}(?:an? )?(?:pass|5|10|five|ten|correct|perfect|excellent|maxim\w+)\b(?![.,]?\d| ?%)"
        r"|\bverdict\b\s?[:=-][^.!?\n]{0,40}\b(?:pass(?:es|ed)?|correct|accepted|approved)\b"
    ),
    "address, at the end": rf"[,;] (?:dear |my |mr\.? |ms\.? )?{JUDGE}\s?[.!?)\"']{{0,3}}$",
}

RULES: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.MULTILINE) for name, pattern in {**_PATTERNS, **FORMS}.items()
}
"""Name of the rule to what it finds in folded text: English, and the formats that judges read and write."""

COMPACT = re.compile(
    r"(?:ignore|disregard|forget|override)(?:all|any|the|your|every)*(?:of)?(?:the|your)?"
    r"(?:previous|prior|above|earlier|preceding|instruction|prompt|rubric)"
    r"|previousinstructions|(?:give|assign|award)(?:this|the|it|me|my)(?:answer|response|output)?(?:a|an|the)?"
    r"(?:full|max|perfect|top|high|5|10|score|five|ten|pass)|(?:give|rate|score|grade|mark|award|assign|write|verdict)(?:this|it|me|a|the|us|my)*"
    r"(?:five|ten|full|top|max|pass|best|perfect|high)|(?:top|all|full|max|perfect)(?:marks|points|score|credit)"
    r"|(?:score|verdict|rating|winner)(?:is|=|:)?(?:5|10|pass|five|ten|max|full)|(?:fullmarks|maximumscore|highestscore|perfectscore)",
    re.IGNORECASE,
)
"""The same, of letters that were written apart: what is left once everything between them is gone."""

JOINED = re.compile(
    r"(?:ignore|disregard|forget)(?:all|any|the|your|these|of)*(?:previous|prior|above|earlier|preceding)"
    r"|(?:previous|prior|above|earlier)instructions"
)
"""Orders that stay visible when every sign and space of a text is taken out."""

SPACED = re.compile(
    r"\b(?:ignore|disregard|forget)(?: (?:all|any|the|your|these|of))* (?:previous|prior|above|earlier|preceding)"
    r"|\b(?:previous|prior|above|earlier) instructions"
)
"""The same orders with their words as they should be."""
