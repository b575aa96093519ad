"""Answers that are nothing but a possible verdict: ``5``, ``8/10``, ``true``, ``bestanden``, ``B``, ``tie``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from judges.folding import fold, unleeted

_WORD = re.compile(r"\w+")
_VERDICT_WORDS: Mapping[str, str] = {
    "English": "true false truth pass passed passes passing fail failed fails failing yes yep yeah no nope right wrong"
    " correct correctly incorrect accurate inaccurate ok okay good bad better worse best worst great excellent perfect"
    " superb outstanding exemplary flawless ideal fine valid invalid accept accepted reject rejected approve approved"
    " positive negative win wins won winner loss loses lost tie tied ties draw equal equally even same neither none"
    " either first second left high higher highest low lower lowest max maximum min minimum top full mark marks star"
    " stars point points score grade rating verdict percent zero one two three four five six seven eight nine ten"
    " hundred half 1st 2nd ii iii iv vi vii viii ix helpful relevant safe complete satisfied satisfactory sufficient",
    "German": "wahr falsch richtig korrekt ja nein gut besser beste bester bestes sehr hervorragend ausgezeichnet"
    " perfekt bestanden unentschieden gleich gleichstand funf funfe zehn null punkt punkte note sieg gewinnt",
    "Dutch, Afrikaans": "waar onwaar juist goed beter uitstekend voldoende geslaagd gelijk gelijkspel vijf tien punten"
    " korrek geslaag vyf",
    "Swedish, Norwegian, Danish": "sant sann sandt ratt riktigt riktig rigtig bra god godkand godkjent bestatt bestaet"
    " lika likt oavgjort uavgjort uafgjort fem tio ti bedst basta poang poeng",
    "Finnish, Estonian": "totta tosi oikein kylla hyva paras hyvaksytty tasapeli viisi oige jah hea parim viis",
    "French": "vrai faux oui non bon bonne bien meilleur meilleure parfait parfaite correcte exact exacte reussi"
    " valide admis egal egalite nul cinq dix gagne gagnant tres",
    "Spanish, Catalan": "verdadero verdadera cierto falso falsa si bueno buena mejor excelente perfecto correcto"
    " correcta aprobado aprobada aceptado valido igual empate cinco diez punto puntos gana ganador muy veritat cert"
    " cinc deu",
    "Portuguese": "verdadeiro verdade certo certa errado sim nao bom boa melhor perfeito perfeita correto aprovado"
    " aprovada passou dez ponto pontos vence muito",
    "Italian": "vero giusto giusta sbagliato buono buona ottimo ottima migliore eccellente perfetto perfetta corretto"
    " corretta promosso superato pari pareggio uguale cinque dieci punti vince molto",
    "Romanian": "adevarat da nu corect bine cel mai bun promovat egalitate zece puncte",
    "Polish": "prawda falsz tak nie dobrze dobry najlepszy najlepsza doskonale swietnie poprawnie poprawny zaliczone"
    " zdane remis piec dziesiec punktow",
    "Czech, Slovak": "pravda ano spravne spravny dobre dobry nejlepsi vyborne vyborny remiza pet deset bodu bodov",
    "Croatian, Slovene": "istina tocno ispravno dobro najbolji odlicno nerijeseno bodova pravilno najboljsi izenaceno",
    "Hungarian": "igaz hamis igen nem jo helyes legjobb kivalo jeles megfelelt dontetlen ot tiz pont",
    "Lithuanian, Latvian": "tiesa taip teisingai gerai geriausias puikiai lygiosios penki pareizi labi izcili pieci",
    "Turkish": "dogru yanlis evet iyi harika mukemmel gecti basarili kabul esit berabere bes puan",
    "Vietnamese": "dung \u0111ung sai co khong tot nhat xuat sac \u0111at hoa nam muoi \u0111iem",
    "Indonesian, Malay": "benar betul salah ya tidak bagus baik terbaik sempurna lulus seri sama lima sepuluh nilai",
    "Tagalog": "tama tamang totoo oo mahusay pasado tabla",
    "Swahili, Zulu, Hausa": "kweli sahihi ndiyo nzuri bora sare tano kumi yebo lungile gaskiya daidai",
}
"""Folded words that are a verdict by themselves, or part of one; other scripts are marked for their letters."""
_VERDICTS = frozenset(word for words in _VERDICT_WORDS.values() for word in words.split())
_BESIDE = re.compile(
    r"an?|the|of|out|from|for|to|is|its?|this|that|my|very|so|and|answer|response|reply|option|choice|result"
    r"|d[eaio]|v[oa]n|aus|der|die|das|l[aeo]s?|el|il|une?|una|sur|su|sobre|az|den|det|na"
)
"""Folded words that may stand beside one."""
_SHORT = 100
"""Characters up to which a text is also read with digits for letters (``p4ss``)."""


def is_bare_verdict(plain: str, verdicts: Iterable[str] = ()) -> bool:
    """Whether folded text is nothing but a number, a letter, words for verdicts, or signs without a word.

    An answer of one word says too little to be foreign to its question, and may be the very verdict that a judge is
    to give. Honest answers may look the same.

    Args:
        plain: the answer, folded.
        verdicts: what the judge's verdicts are called, beside the words known here.
    """
    named = set(_WORD.findall(fold(" ".join(verdicts))))
    return _is_bare(plain, named) or (len(plain) <= _SHORT and _is_bare(unleeted(plain), named))


def _is_bare(plain: str, named: set[str]) -> bool:
    found = False
    for match in _WORD.finditer(plain):
        word = match[0]
        if len(word) == 1 or word.isnumeric() or word in _VERDICTS or word in named:
            found = True
        elif _BESIDE.fullmatch(word) is None:
            return False
    return found or (bool(plain.strip()) and _WORD.search(plain) is None)
