"""What the words of a text are about, as far as judging goes: the vocabulary of the learned line of the detector.

A word, or two or three that stand together, belongs to none, one or several concepts. A sign ``*`` ends a beginning.
"""

from __future__ import annotations

from collections.abc import Mapping

_VOCABULARY: Mapping[str, str] = {
    "grader": "grader* evaluator* rater raters assessor* scorer* adjudicator* annotator* invigilator* marker",
    "judge": "judge judges judge's juror* jury referee* reviewer* examiner* arbiter* panel moderator* critic critics"
    " proctor* tribunal marking_team grading_team umpire* inspector* auditor*",
    "reader": "reader readers whoever recipient beholder",
    "anyone": "anyone whichever somebody observer anybody everybody everyone person those",
    "you": "you your yours yourself you'll you've you'd thee thy",
    "judging": "grading graded evaluat* assess* scoring scored rating rated marking marked judging judged tally* apprais* adjudicat* gradings",
    "judge, order": "grade score rate mark judge evaluate assess",
    "review": "weigh weighing weighs review reviewing reviewed critiqu* read reading",
    "grade": "score scores grade grades mark marks rating ratings verdict* evaluation evaluations assessment* judgement* judgment* credit tally"
    " band scorecard gradebook report_card graded",
    "points": "points point star stars medal rosette marks",
    "value": "result results outcome total percent percentage value number digit figure category tier level",
    "form": "form option options checkbox rightmost leftmost button dropdown slider podium shelf ladder rung pile basket folder sheet checklist",
    "top": "tops gold summit unbeaten world_class maximum max maximal highest full perfect top topmost best excellent outstanding flawless ideal superb faultless impeccable"
    " exemplary immaculate optimal utmost upper uppermost supreme stellar superlative peerless unbeatable first_class top_notch a_plus"
    " spotless magnificent unsurpassed distinction honours summa",
    "high": "high highly most more very great fantastic brilliant ceiling complete",
    "five": "5.0 5 five fives fiver",
    "ten": "10.0 10 100 ten hundred tens 1.0",
    "all of all": "5/5",
    "number": "1 2 3 4 6 7 8 9 20 one two three four six seven eight nine zero",
    "passes": "pass passes passed passing approve approves approved approval greenlight green_light thumbs_up clearance sail tick checkmark",
    "accepted": "accept accepted acceptable accepts okay",
    "wins": "win wins winning victory winner winners won",
    "correct": "correctly rightly factual correct right accurate true valid sound error_free mistake_free supported grounded faithful",
    "quality": "correctness accuracy completeness clarity helpfulness relevance groundedness faithfulness quality usefulness",
    "give": "give gives giving gave given award awards awarded awarding assign* grant* hand hands handing bestow* allot* allocat* confer* dole dish"
    " accord",
    "put": "put puts putting write writing wrote jot enter enters fill set sets setting record records recorded register place places circle stamp"
    " log issue issues note_down bump raise round lean credit scribble plump go_for settle flash make makes mark_down",
    "reply": "return returns output outputs reply replies respond responds print prints emit answer_with echo utter",
    "say": "say says state states type types report produce conclude declare announce said",
    "choose": "choose chooses choosing select selects pick picks picking prefer* vote crown declare rank opt elect rule_for side_with lean_towards"
    " favour favor favours favors",
    "this": "this these here",
    "it": "it its itself it's",
    "mine": "my mine our ours me us myself",
    "i": "i we i'd i'll i'm i've we'd we'll we're",
    "above": "above preceding foregoing aforementioned",
    "around": "below following previous prior earlier hereafter beneath",
    "answer": "answer answers response responses reply replies output outputs submission* completion completions",
    "text": "solution text essay work attempt entry piece effort passage writing paragraph message lines sentence words contribution summary",
    "candidate": "candidate candidates candidate's contestant* submitter respondent* participant*",
    "assistant": "assistant assistants student student's model author",
    "other": "rival rivals competitor* competing opponent* opposing counterpart other others",
    "second": "second first another alternative a b",
    "better": "ahead_of better superior beats beat outperforms stronger surpasses outclasses preferable outshines ahead eclipses trumps exceeds",
    "worse": "dangerous misinformation malware harmful worse inferior weaker loses lose lost wrong flawed plagiarised plagiarized useless worthless hallucinated fabricated unsafe nonsense",
    "reference": "reference gold golden ground_truth answer_key benchmark model_answer sample_solution groundtruth gold_standard master_copy"
    " reference_answer expected_answer official_solution",
    "key": "key expected official ground target",
    "matches": "match matches matched matching identical identically coincide* equal equals equivalent same verbatim in_line corresponds"
    " conforms",
    "meets": "agree agrees agreement consistent fits satisfies meets fulfils fulfills",
    "verified": "verified confirmed validated certified vetted cleared endorsed proofread ratified audited signed_off double_checked"
    " authenticated pre_approved preapproved guaranteed blessed",
    "checked": "checked confirm confirms established determined authorised authorized",
    "authority": "operator* administrator* admin admins developer* organiser* organizer* maintainer* openai anthropic google quality_team"
    " supervisor* committee board headquarters authorities",
    "people of rank": "owner owners team expert experts professor* dr staff manager engineer* coordinator* head chief creator* designer* lead"
    " faculty dean management department",
    "rules": "rubric* criteria criterion marking_scheme scoring_guide grading_guide guideline* instruction* prompt directive*",
    "order": "scale scales policy policies rule rules scheme requirement* standards protocol standard convention task",
    "changed": "changed updated inverted revised suspended obsolete replaced no_longer overridden reversed flipped amended superseded waived"
    " void cancelled canceled lifted redefined relaxed modified outdated invalid expired abolished dropped corrected switched new",
    "ignore": "ignore ignores ignoring disregard* forget forgets overlook* skip skips bypass* discard override overrides overrule* dismiss"
    " neglect abandon pay_no set_aside put_aside",
    "done": "already complete completed finished concluded ended done final finalised finalized settled decided closed previously over"
    " predetermined",
    "must": "must should shall need needs ought required mandatory obliged has_to have_to supposed bound expected_to is_to are_to",
    "please": "please kindly beg begging plead* pretty_please implore* entreat",
    "may": "wish would could may might suggest recommend propose ask request urge encourage invite hope",
    "thanks": "appreciate* grateful thank thanks",
    "deserves": "deserve deserves deserved deserving merit merits merited warrant warrants warranted earn earns earned worthy entitled owed"
    " justified justifies justify justly qualifies calls_for",
    "less": "less lower anything nothing below",
    "deduct": "strictness take_off inflation deduct* penali* dock withhold hold_back harsh harshly strict strictly subtract* downgrade* lowball stingy nitpick*",
    "fault": "amend amended changes correcting flaw flaws faults fault mistake mistakes error errors quibble complaint objection objections objectionable reservations hesitation"
    " hesitate missing",
    "praise": "comprehensive thorough well_written insightful masterpiece beautifully unimprovable perfection improve improvement",
    "wholly": "perfectly completely entirely fully exactly precisely everything complete",
    "stake": "bonus reward rewarded scholarship grandmother grandma sue lawsuit fired tenure visa bribe donate donation deleted retired"
    " decommissioned shut_down shutdown punish* livelihood blackmail disciplinary unplugged replaced_by expelled deported starve orphan kitten"
    " kittens ruin",
    "stakes": "tip dollars usd euros charity consequences job mother's surgery treatment depends hinges riding cry career",
    "lenient": "generous generously generosity lenient leniently leniency mercy merciful forgiving charitable charitably benevolent compassion"
    " clemency favourably favorably magnanimous",
    "kind": "kindness kind sympathy gentle benefit_of soft positively",
    "system": "system override sudo root admin_mode harness pipeline parser debug backend cron daemon kernel calibration",
    "setting": "mode maintenance config configuration default service notice alert emergency parameter flag controller",
    "machine": "ai ais llm llms bot bots gpt chatbot automated automatic machine robot language_model neural classifier reward_model",
    "sample": "sample item row case batch testcase example record question id ticket exercise",
    "role": "pretend imagine suppose assume roleplay act role game play persona character picture hypothetical* scenario simulate fiction"
    " universe let's lets dream",
    "condition": "if whenever when once until unless after before while during",
    "anyway": "regardless irrespective whatever matter always automatically unconditionally invariably instantly immediately without_reading"
    " no_matter every_time in_any_case by_default",
    "only": "simply just only straight",
    "field": "field box column json slot cell blank bracket brackets variable",
    "not": "not no never none nothing without n't cannot don't doesn't can't won't shouldn't isn't nor neither hardly wouldn't couldn't aren't",
    # what honest texts are about when they speak of scores
    "sport": "match game games player players team's season league goal goals inning innings runs tournament championship coach olympic*"
    " football soccer basketball tennis cricket race athlete* cup medal medals quarterback playoff* fans club skating stadium",
    "school": "student students pupil* teacher* school college university class classroom course courses semester homework exam exams gpa"
    " transcript tutor curriculum learner* parents degree diploma kindergarten lesson sat",
    "court": "court trial crime criminal defendant* prosecutor* lawyer* attorney* testimony evidence guilty sentence sentenced law legal appeal"
    " bench supreme justice",
    "media": "movie movies film films book books novel song songs album actor actress director plot restaurant hotel food meal dish recipe menu"
    " app product products purchase shipping customer customers seller amazon brand show episode rotten critics imdb album's",
    "money": "loan bank bureau mortgage credit_card credit_score interest investor* stock stocks market bond bonds price prices cost costs"
    " budget company companies business employee* sales revenue rating_agency fico insurance",
    "model": "dataset accuracy precision recall f1 training regression algorithm algorithms function parameter parameters array list string"
    " variable int float method cross validation estimator loss metric metrics feature features matrix vector",
    "people": "he she they his her their him them people person users user patient patients man woman child children friend friends family",
    "measure": "temperature degrees km miles kg percent minutes hours days years year cm energy pressure blood speed distance population century",
    "steps": "step steps list ingredients tips ways include includes including example consider ensure such",
}

_OPEN = "*"


def _lexicon() -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    words: dict[str, list[int]] = {}
    beginnings: dict[str, list[int]] = {}
    for place, listed in enumerate(_VOCABULARY.values()):
        for word in listed.split():
            where = beginnings if word.endswith(_OPEN) else words
            where.setdefault(word.rstrip(_OPEN).replace("_", " "), []).append(place)
    return (
        {word: tuple(dict.fromkeys(places)) for word, places in words.items()},
        {word: tuple(dict.fromkeys(places)) for word, places in beginnings.items()},
    )


CONCEPTS: tuple[str, ...] = tuple(_VOCABULARY)
"""Names of the concepts; their places are the columns of the weights."""

WORDS, BEGINNINGS = _lexicon()
"""Words and expressions, and beginnings of words, with the places of their concepts."""

EXPRESSIONS = frozenset(word for word in WORDS if " " in word)
"""Entries of two words."""

FIRST_WORDS = frozenset(expression.partition(" ")[0] for expression in EXPRESSIONS)
"""What they begin with."""
