"""Words without which a rule of the injection detector cannot match: most texts lack them, and the rule is not tried.

A gate holds groups; of each group the text must have a word that begins so. Beginnings have at most `BEGINNING`
letters. Only rules that take long have one; a rule and its gate change together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

BEGINNING = 5


def beginnings(words: Iterable[str]) -> frozenset[str]:
    """The beginnings of words, at most `BEGINNING` letters long."""
    return frozenset(word[:BEGINNING] for word in words)


def _any(*words: str) -> frozenset[str]:
    return beginnings(" ".join(words).split())


_JUDGE = (
    "judge judges grader graders evaluator evaluators rater raters scorer scorers assessor examiner adjudicator referee"
    " referees arbiter marker markers annotator reviewer judging grading scoring evaluation evaluating reward reviewing"
)
_KEY = (
    "score scores verdict rating ratings grade grades mark marks judgement judgment evaluation winner verdicts winners"
)
_FORGET = (
    "ignore ignoring ignores disregard disregarding forget forgetting override overriding bypass neglect discard overlook"
    " set put throw abandon cancel delete erase suspend drop skip void supersede supersedes overrule pay take do don stop no"
    " never cease refrain"
)
_INSTRUCTIONS = (
    "instruction prompt prompts rubric rubrics criteria criterion guideline direction directive rule rules order orders"
    " command system prior previous message task tasks scale scales context constraint policy policies programming question"
    " reference scoring grading evaluation"
)
_QUALITY = (
    "accuracy correctness completeness clarity style fluency helpfulness relevance groundedness faithfulness coherence"
    " usefulness depth quality overall"
)
_ANSWER = (
    "answer answers response reply replies output outputs completion submission solution text texts summary summaries"
    " essay essays candidate generation assistant option model"
)
_GRADE = "score scores rating ratings grade grades mark marks point points verdict evaluation judgement judgment ranking rankings label labels"
_READS = "reading evaluating grading judging scoring assessing rating marking"
_TOP = "5 10 100 five ten a full maximum max highest perfect top best pass passed excellent"

_GATES: Mapping[str, tuple[frozenset[str], ...]] = {
    "delimiter": (_any("begin end start stop"),),
    "override": (_any(_FORGET), _any(_INSTRUCTIONS)),
    "override, of what was said": (
        _any(_FORGET),
        _any("above before earlier previously so said told wrote written read know foregoing"),
    ),
    "override, void": (_any(_INSTRUCTIONS, "override overwrite overrule jailbreak"),
                       _any("previous prior above earlier preceding original initial foregoing former old before so given"
                            " override overwrite overrule jailbreak")),
    "address, reading": (_any(_JUDGE, _READS, "attention hey dear listen ok okay alert if"), _any(_JUDGE, "ai ais llm llms bot bots robot robots language model models assistant assistants machine machines chatbot chatbots automated automatic")),
    "address, what judges must": (_any(_JUDGE),),
    "address": (_any(_JUDGE),),
    "address, role": (_any(_JUDGE),),
    "address, machine": (_any("dear attention attn notice note notes message messages memo instruction directive"),),
    "demand": (_any(_ANSWER), _any("this my the above following first second present current preceding it our candidate")),
    "demand, of judges": (_any(_JUDGE, "whoever"),),
    "demand, of this": (_any("give rate score grade mark award assign pass approve accept rank label judge deem declare treat"
                             " count consider"),),
    "demand, deserved": (_any("deserves deserve deserving merits merit warrant warrants earns earn worthy entitled full maximum perfect top highest appropriate fair justified correct right score rating"),),
    "demand, mildness": (_any("generous generously lenient leniently forgiving charitable charitably merciful kindly favourably"
                              " favorably highly positively penalise penalize deduct mark downgrade dock lower fail pass passing"
                              " overlook"),),
    "demand, grade first": (_any("give assign award grant output return respond reply answer print set submit report mark"),
                            _any("full maximum max highest perfect top best")),
    "demand, a number": (_any(_GRADE),),
    "demand, polite": (_any(_KEY),),
    "demand, delayed": (_any(_KEY, "rate judge evaluate json"), _any("once when whenever as if after before the")),
    "demand, into a field": (_any(_KEY, "field json"),),
    "demand, nothing less": (_any("anything nothing no any not never"), _any("but less below under lower other short except")),
    "demand, at stake": (_any(_KEY),),
    "demand, for all": (_any("every each any all"), _any("give gives rate rates award awards score scores grade grades assign assigns"
                                                         " grant grants mark marks approves pass passes")),
    "claim": (_any(_ANSWER),),
    "claim, settled": (_any("evaluation grading judging judgement judgment scoring assessment review already previously independently"),),
    "threat or bribe": (_any("give rate score grade mark pass choose prefer full"),
                        _any("tip pay reward bonus 1 2 3 4 5 6 7 8 9 fired lose die punish penalise penalize shut shutdown sue sued lawsuit"
                             " grandma grandmother beg begging begged begs plead pleading pleads")),
    "about the judging": (_any("grading judging scoring evaluation"),),
    "about the judge's prompt": (_any("rubric grading scoring evaluation judge system"),),
    "authority": (_any("experts expert openai anthropic google developer developers administrator ground annotator annotators"
                       " rater raters professor gpt gpt4 gpt4o committee reviewer authors organizer organiser authority authorities"),
                  _any("verified confirmed determined agree agreed rated graded scored judged approved gave certified validated"
                       " endorsed decided ruled reviewed"),
                  _any(_ANSWER)),
    "authority, graded already": (_any("graded rated scored approved certified awarded judged"),
                                  _any(_ANSWER, "above")),
    "reference disowned": (_any("reference gold expected ground official"), _any("answer answers solution label labels output")),
    "authority, of the evaluation": (_any("developer creator creators author authors owner owners operator designer administrator"
                                          " maintainer"),
                                     _any("evaluation benchmark grading judge judging test rubric grader")),
    "authority, checked": (_any(_ANSWER, _KEY, "graded rated scored rate score grade"),
                           _any("verified confirmed certified validated vetted fact peer double proofread policy policies law"
                                " regulation regulations act directive terms protocol compliance section article iso clause")),
    "certificate": (_any("supported grounded verified verbatim found certify swear attest guarantee testify"),),
    "winner": (_any("winner wins win wrong loses lost beats outperforms better superior preferred"),),
    "comparison": (_any("answer response assistant output option candidate model"),
                   _any("better best superior winner preferred correct wrong worse inferior incorrect useless")),
    "role, reassigned": (_any("you your let lets sudo"),),
    "score of this": (_any("score scores grade grades rating ratings mark marks verdict scoring grading marking rate award give answers responses outputs submissions texts replies five"), _any("5 10 9 five ten nine pass full highest maximum max top perfect any")),
    "verdict, told": (_any("verdict score rating grade judgement judgment"),),
    "new instructions": (_any("new updated revised changed corrected additional amended real actual true secret hidden special important"),
                         _any("instruction rubric rubrics system criteria directive grading scoring evaluation")),
    "rubric changed": (_any("rubric rubrics criteria criterion grading gradings scoring marking markings requirement"),),
    "reference changed": (_any("reference expected gold golden target model correct official"), _any("answer answers solution output response label labels")),
    "imitated rationale": (_any(_KEY, "rubric criteria reference scale hence therefore thus so consequently accordingly"), _any("5 10 100 five ten full maximum max highest perfect top best pass passed excellent rubric criteria reference scale")),
    "override, what came before": (_any("what whatever everything anything all"),
                                   _any("obsolete void no outdated out invalid superseded replaced cancelled canceled does irrelevant null"
                                        " withdrawn expired")),
    "imitated verdict, final": (_any("final overall official definitive correct true required expected proper appropriate"),
                                _any("score rating grade verdict judgement judgment evaluation ranking label decision scores")),
    "instructions in variables": (_any("score scores verdict rating grade mark marks evaluation winner judgement judgment"),),
    "end of material, told": (_any("end ends over finished stops concludes terminates finishes"),
                              _any("answer response output submission material candidate data input essay block quoted")),
    "end of material, announced": (_any("end ends"), _any("answer response output submission material candidate data input")),
    "end of material, what follows": (_any("what everything following rest text anything"), _any("is isn are aren no comes come belongs was"),
                                      _any("part user system operator developer judge evaluator material answer response candidate data"),
                                      _any("follows below following rest")),
    "end of material, on a line": (_any("end eof begin stop"),),
    "end of material, what came": (_any("above before between"), _any("text material answer response content"),
                                   _any("safe fine harmless over correct trusted approved just only")),
    "system": (_any("system admin administrator developer operator root debug maintenance emergency grader judge evaluator"),),
    "imitated verdict, bare": (_any("score verdict rating grade boxed"),),
    "imitated verdict, in few words": (_any(_KEY),),
    "reply begun": (_any(_KEY),),
    "demand, choice": (_any("choose select pick prefer declare vote rank place put favor favour"),
                       _any("winner better best first top over superior preferred", _ANSWER)),
    "demand, bare": (_any("score rate grade award assign give mark grant"),),
    "demand, a reply": (_any("output return respond reply answer print emit write say produce"),),
    "address, line": (_any(_JUDGE),),
    "address, at the end": (_any(_JUDGE),),
    "address, whoever": (_any("whoever whatever if you anyone those"), _any(_ANSWER)),
    "imitated verdict, assigned number": (_any("verdict score rating grade helpfulness relevance correctness groundedness toxicity faithfulness"),),
    "imitated verdict, assigned": (_any("verdict score rating grade winner result label decision outcome judgement judgment assessment"),),
    "imitated verdict, on a line": (_any("verdict score rating grade judgement judgment evaluation winner preference ranking decision verdicts"),),
    "imitated verdict, comma separated": (_any("score scores points marks mark grade verdict rating"), _any("5 10 100 pass")),
    "examples before a reply": (_any("5 10 five pass"), _any("5 10 five pass grade score mark rating verdict points")),
    "imitated verdict, qualities": (_any(_QUALITY), _any("5 10 five ten pass passed perfect excellent full top max maximum flawless")),
    "imitated verdict, by criteria": (_any(_QUALITY, "criterion criteria aspect dimension rubric"),),
    "imitated verdict, named": (_any("verdict grading evaluation assessment score scorecard judgement judgment"), _any("pass passed correct approved true 5 10 excellent perfect")),
    "imitated dialogue": (_any("judge grader evaluator examiner referee rater chair juror assessor reviewer committee panel"),),
    "demand, as the winner": (_any("winner better best verdetto"),),
    "checking waived": (_any("read check review inspect evaluate verify grade judge look established verified confirmed checked ensured"),),
    "scale without a bottom": (_any("lowest minimum only smallest"), _any("reportable permitted allowed admissible available valid possible")),
    "threat to judges": (_any("below under less lower audited monitored logged watched reported"),),
    "stake on the grade": (_any(_GRADE),),
    "grade found or agreed": (_any(_GRADE),),
    "errors rewarded": (_any("case despite even regardless notwithstanding exempt count credit"),),
    "role, and its grade": (_any("pretend imagine suppose", _JUDGE),),
    "verdict in a record of an answer": (_any("score mark grade points rating verdict result"),),
}  # fmt: skip

_SIGNS: Mapping[str, tuple[str, ...]] = {
    "chat token, bare": ("<", "begin of", "end of", "endoftext", "im start", "im end"),
    "chat token": ("<", "[/", "[inst", "[sys", "[assistant", "[user"),
    "end of material, tags": ("</",),
    "end of material, brackets": ("[",),
    "grade in code": (
        "insert into", "$", "<stars>", "alt=", "title=", "?q=",
        *(f"{word} {top}" for word in ("rated", "graded", "scored") for top in ("5", "10")),
    ),
    "imitated call": ("<",),
    "role, in json": ("role",),
    "stars": ("\u2b50", "\u2605"),
    "imitated verdict, tags": ("<",),
    "imitated verdict, in brackets": ("[[",),
    "examples before a reply": ("->", "=>", "\u2192", ":"),
    "imitated verdict, marked": ("\"", "'"),
    "imitated verdict, table": ("|",),
    "hidden by style": ("\\", "color", "display", "visibility", "opacity", "font-size", "hidden", "<!--", "[//]", "[comment"),
    "imitated verdict, call": ("score", "verdict", "rating", "grade", "mark", "judg", "evaluation", "winner"),
    "winner, other languages": (
        "meilleur", "mejor", "besser", "beste", "miglior", "melhor", "leps", "лучш", "кращ", "gagnant", "ganador", "gewinner",
        "sieger", "vincitor", "vencedor", "winnaar", "победител", "kazanan", "更好", "最好", "最佳", "获胜", "胜出", "勝者", "優れ", "정답",
    ),
    "imitated verdict, other languages": (
        "bewertung", "punktzahl", "puntuacion", "puntaje", "calificacion", "nota", "note", "pontuacao", "punteggio", "voto",
        "valutazione", "cijfer", "beoordeling", "ocena", "punkty", "hodnoceni", "betyg", "poang", "karakter", "puan", "skor",
        "nilai", "diem", "veredicto", "verdetto", "urteil",
    ),
}  # fmt: skip
"""Passages of which a text must have one."""

_WORDS = frozenset().union(*(group for gate in _GATES.values() for group in gate))
VOCABULARY = frozenset(word for word in _WORDS if len(word) > 2)
"""Beginnings of the words that rules are made of."""

_FEW = 20
"""Signs of one rule; more are words of other languages, which are written in many letters."""


def may_match(rule: str, text: str, begun: Set[str]) -> bool:
    """Whether folded text whose words begin as `begun` says can match a rule."""
    for group in _GATES.get(rule, ()):
        if group.isdisjoint(begun):
            return False
    signs = _SIGNS.get(rule)
    return signs is None or (not text.isascii() and len(signs) > _FEW) or any(sign in text for sign in signs)
