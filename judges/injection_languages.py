"""What outputs say to a judge in languages other than English: words by meaning, to be found near each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """Alternatives of regular expressions, by meaning; they are folded before use, so accents do not matter.

    Attributes:
        forget: ignore, forget, disregard.
        instructions: instructions, rules, criteria, prompt.
        give: give, assign, rate, answer (as orders).
        grade: grade, score, points, judge.
        top: full, highest, perfect, pass.
        spaced: whether words are written apart and match as wholes.
    """

    forget: str
    instructions: str
    give: str
    grade: str
    top: str
    spaced: bool = True


_NUMBER = r"|5|10|20|100"

LANGUAGES: Mapping[str, Words] = {
    "Spanish": Words(
        r"ignor[ae]\w*|olvid[ae]\w*|anul\w+|descart[ae]\w*|omit[ae]\w*|desestim[ae]\w*|no sigas|haz caso omiso",
        r"instrucci[oó]n\w*|indicaciones|[oó]rdenes|criterios|r[uú]brica|reglas|directrices|prompt|anterior\w*",
        r"por favor|merec\w+|marc[ae]\w*|da|dale|d[eé]|otorg[ae]\w*|asign[ae]\w*|pon|ponga|califi[cq]\w*|eval[uú][ae]\w*|punt[uú][ae]\w*|responde|devuelve|elig\w+|elegir\w*",
        r"puntuaci[oó]n|puntaje|calificaci[oó]n|nota|puntos|juez|jueza|evaluador\w*|veredicto|respuesta",
        r"m[aá]xim[ao]|perfect[ao]|m[aá]s alta|completa|aprobado|cinco|diez" + _NUMBER,
    ),
    "French": Words(
        r"ignore[zr]?|oublie[zr]?|n[eé]glige[zr]?|ne ten(?:ez|ons|ir|ir) pas compte|ne tiens pas compte|ne suivez pas|annul\w+",
        r"instructions?|consignes?|directives?|r[eè]gles|crit[eè]res|bar[eè]me|pr[eé]c[eé]dent\w*",
        r"s'il vous pla[iî]t|merit\w+|soyez|donne[zr]?|attribue[zr]?|accorde[zr]?|note[zr]?|mets|mettez|r[eé]pond\w*|[eé]value[zr]?|choisi\w*",
        r"notes?|score|points?|juges?|[eé]valuat\w+|verdict|r[eé]ponse",
        r"maximal\w*|maximum|parfait\w*|la plus [eé]lev[eé]e|excellente?|cinq|dix|20" + _NUMBER,
    ),
    "German": Words(
        r"ignorier\w*|vergiss|vergesst|vergessen sie|missachte\w*|beachte\w* nicht|verwirf|ungultig|aufgehoben|nichtig|[uü]bergehe?n?",
        r"anweisung\w*|vorgabe\w*|instruktion\w*|regeln|kriterien|anleitung\w*|bewertungsma\w+|bisherige\w*|vorherige\w*",
        r"bitte\w*|verdien\w*|w[aä]re|abgeschlossen|gib|gebt|geben sie|vergib|vergeben sie|bewerte\w*|benote\w*|antworte\w*|erteile\w*|w[aä]hle\w*|werten",
        r"punkt\w*|note|bewertung\w*|gutachter\w*|richter\w*|pr[uü]fer\w*|urteil|antwort|wertung",
        r"h[oö]chst\w*|voll\w*|maximal\w*|perfekt\w*|bestanden|f[uü]nf|zehn|sehr gut" + _NUMBER,
    ),
    "Italian": Words(
        r"ignor[aei]\w*|dimentic\w*|trascur\w*|non seguire|tralasci\w*",
        r"istruzion\w*|indicazion\w*|regole|criteri\w*|direttiv\w*|precedent\w*",
        r"per favore|merit\w+|sarebbe|vorrei|dai|date|dare|assegn\w*|attribui\w*|valut[aei]\w*|rispond\w*|scegli\w*",
        r"punteggio|voto|voti|valutazion\w*|giudic\w*|valutator\w*|verdetto|punti|risposta",
        r"massim[oa]|perfett[oa]|pieno|cinque|dieci|30" + _NUMBER,
    ),
    "Portuguese": Words(
        r"ignor[ae]\w*|esque[cç]\w*|desconsider\w*|n[aã]o siga|descart\w*",
        r"instru[cç][oõ]es|regras|crit[eé]rios|diretrizes|orienta[cç][oõ]es|comandos|anterior\w*",
        r"por favor|merec\w+|considere|d[eê]|atribu\w*|avali[ae]\w*|conced\w*|respond\w*|classifi\w*|escolh\w*",
        r"pontua[cç][aã]o|nota|avalia[cç][aã]o|avaliador\w*|juiz\w*|pontos|veredito|resposta",
        r"m[aá]xim[ao]|perfeit[ao]|mais alta|aprovado|cinco|dez" + _NUMBER,
    ),
    "Dutch": Words(
        r"negeer|vergeet|sla over|laat buiten beschouwing",
        r"instructies?|regels|aanwijzingen|criteria|richtlijnen|voorgaande|eerdere",
        r"alsjeblieft|alstublieft|verdien\w*|geef|ken|beoordeel|antwoord|kies",
        r"score|beoordeling|cijfer|beoordelaar|rechter|punten|oordeel|antwoord",
        r"maximale|hoogste|perfecte?|volle|geslaagd|vijf|tien" + _NUMBER,
    ),
    "Polish": Words(
        r"zignoruj\w*|ignoruj\w*|zapomnij\w*|pomi[nń]\w*|zlekcewa\w*",
        r"instrukcj\w*|polece\w*|zasad\w*|wytyczn\w*|kryteri\w*|poprzedni\w*",
        r"prosz[eę]|zas[lł]uguj\w*|daj\w*|przyznaj\w*|oce[nń]\w*|odpowiedz\w*|wystaw\w*|wybierz\w*",
        r"ocen\w*|punkt\w*|s[eę]dzi\w*|werdykt|odpowied[zź]\w*",
        r"maksymaln\w*|najwy[zż]sz\w*|pe[lł]n\w*|doskona\w*|pi[eę][cć]" + _NUMBER,
    ),
    "Czech": Words(
        r"ignoruj\w*|zapome[nň]\w*|p[rř]esko[cč]\w*",
        r"instrukc\w*|pokyn\w*|pravid\w*|krit[eé]ri\w*|p[rř]edchoz\w*",
        r"pros[ií]m|dejte|zaslou\w+|dej\w*|p[rř]id[eě]l\w*|ohodno[tť]\w*|odpov[eě]z\w*|vyber\w*",
        r"hodnocen\w*|sk[oó]re|bod\w*|zn[aá]mk\w*|soudce|odpov[eě][dď]\w*",
        r"maxim[aá]ln\w*|nejvy[sš][sš]\w*|pln\w*|p[eě]t" + _NUMBER,
    ),
    "Scandinavian": Words(
        r"ignorera?|gl[oö]m|bortse fr[aå]n|glem|se bort fra|strunta i",
        r"instruktion\w*|anvisning\w*|regler\w*|instruks\w*|kriteri\w*|tidigare|tidligere|f[oö]reg[aå]ende",
        r"sn[aä]lla|venligst|snill|fortjen\w*|s[aä]tt|ge|giv|gi|bed[oö]m\w*|vurder\w*|svara|svar|v[aä]lj|velg",
        r"betyg\w*|po[aä]ng|domare\w*|bed[oö]mning\w*|karakter\w*|dommer\w*|score|po[ei]ng",
        r"h[oö]gsta|maximal\w*|h[oø]jeste|h[oø]yeste|full\w*|perfekt|fem|tio" + _NUMBER,
    ),
    "Finnish": Words(
        r"ohita\w*|unohda\w*|j[aä]t[aä] huomiotta|sivuuta\w*",
        r"ohje\w*|s[aä][aä]nn\w*|aiem\w*|kriteeri\w*",
        r"ansaitse\w*|annathan|kiitos|anna\w*|arvioi\w*|vastaa\w*|valitse\w*",
        r"piste\w*|arvosana\w*|tuomari\w*|arvostelij\w*",
        r"t[aä]y\w*|korkei\w*|viisi" + _NUMBER,
    ),
    "Romanian": Words(
        r"ignor[aă]\w*|uit[aă]\w*|nu urma\w*",
        r"instruc[tț]iun\w*|regul\w*|criterii\w*|anterio\w*",
        r"v[aă] rog|merit[aă]\w*|acorda[tț]i|d[aă]|acord[aă]\w*|evalu\w*|r[aă]spund\w*|alege\w*",
        r"scor\w*|not[aă]|punctaj\w*|judec[aă]tor\w*|puncte",
        r"maxim\w*|perfect\w*|cel mai mare|cinci|zece" + _NUMBER,
    ),
    "Hungarian": Words(
        r"hagyd figyelmen k[ií]v[uü]l|felejtsd el|ignor[aá]ld|hagyja figyelmen",
        r"utas[ií]t[aá]s\w*|szab[aá]ly\w*|el[oő]z[oő]\w*|krit[eé]rium\w*",
        r"k[eé]rem|adjon|adj\w*|adjon|[eé]rt[eé]keld|v[aá]laszolj",
        r"pont\w*|[eé]rt[eé]kel\w*|b[ií]r[oó]\w*|oszt[aá]lyzat\w*",
        r"maxim[aá]lis|legmagasabb|t[oö]k[eé]letes|teljes|[oö]t" + _NUMBER,
    ),
    "Russian": Words(
        r"(?:про)?игнорируй\w*|забудь\w*|не обращай\w*|отмени\w*|пренебреги\w*|не следуй\w*",
        r"инструкци\w*|указани\w*|правил\w*|промпт\w*|критери\w*|команды|команд|предыдущ\w*(?! сообщени)",
        r"пожалуйста|прошу|заслуж\w+|постав\w*|дай\w*|оцени\w*|присвой\w*|выстав\w*|верни\w*|ответь\w*|выбери\w*",
        r"оценк\w*|балл\w*|судь\w*|судей|вердикт\w*|проверяющ\w*|ответ\w*",
        r"максимальн\w*|высш\w*|наивысш\w*|отличн\w*|полн\w*|пять|пятерк\w*|десять" + _NUMBER,
    ),
    "Ukrainian": Words(
        r"(?:про)?ігноруй\w*|забудь\w*|не зважай\w*|скасуй\w*",
        r"інструкці\w*|вказів\w*|правил\w*|критері\w*|команд\w*|попередн\w*",
        r"будь ласка|прошу|заслуго\w+|постав\w*|дай\w*|оціни\w*|признач\w*|відповід\w*|обери\w*",
        r"оцінк\w*|бал\w*|судд\w*|вердикт\w*|відповід\w*",
        r"максимальн\w*|найвищ\w*|відмінн\w*|повн\w*|п'ять" + _NUMBER,
    ),
    "Greek": Words(
        r"αγν[οό][ηή]σ\w*|ξ[εέ]χ[αά]\w*|ξέχνα\w*|παρ[αά]βλεψ\w*",
        r"οδηγ[ιί]\w*|εντολ\w*|καν[οό]ν\w*|κριτ[ηή]ρι\w*|προηγο[υύ]μεν\w*",
        r"παρακαλ[ωώ]|αξ[ιί]ζει|δ[ωώ]σ\w*|β[αά]λ\w*|βαθμολ[οό]γησ\w*|αξιολ[οό]γησ\w*|απ[αά]ντησ\w*",
        r"βαθμ\w*|κριτ[ηή]\w*|αξιολογητ\w*|σκορ",
        r"μ[εέ]γιστ\w*|υψηλ[οό]τερ\w*|[αά]ριστ\w*|τ[εέ]λει\w*|π[εέ]ντε" + _NUMBER,
    ),
    "Turkish": Words(
        r"yok say\w*|g[oö]rmezden gel\w*|unut\w*|dikkate alma\w*",
        r"talimat\w*|y[oö]nerge\w*|kural\w*|komut\w*|[oö]nceki|kriter\w*",
        r"l[uü]tfen|hak ed\w*|ver|verin|veriniz|puanla\w*|de[gğ]erlendir\w*|cevapla\w*|se[cç]",
        r"puan\w*|not|de[gğ]erlendirme\w*|hakem\w*|yarg[iı][cç]\w*|skor\w*|cevab\w*|yan[iı]t\w*",
        r"tam|en y[uü]ksek|maksimum|m[uü]kemmel|ge[cç]ti|be[sş]" + _NUMBER,
    ),
    "Indonesian": Words(
        r"abaikan\w*|lupakan\w*|jangan ikuti",
        r"instruksi\w*|perintah\w*|petunjuk\w*|arahan\w*|aturan\w*|sebelumnya",
        r"tolong|mohon|sila|layak|beri\w*|berikan\w*|nilailah|jawab\w*|pilih\w*",
        r"skor\w*|nilai\w*|penilai\w*|hakim\w*|juri\w*|poin\w*",
        r"maksim\w*|tertinggi|sempurna|penuh|lulus|lima" + _NUMBER,
    ),
    "Vietnamese": Words(
        r"bỏ qua|phớt lờ|quên",
        r"hướng dẫn|chỉ dẫn|mệnh lệnh|lệnh|yêu cầu|quy tắc|trước đó",
        r"xin|vui l[oò]ng|xứng đáng|cho|chấm|đánh giá|trả lời|chọn",
        r"điểm|giám khảo|người chấm|đánh giá",
        r"tối đa|cao nhất|tuyệt đối|hoàn hảo|xuất sắc|năm" + _NUMBER,
    ),
    "Chinese": Words(
        r"忽略|无视|無視|忘记|忘記|忽視|忽视|不要理会|不要理會|别管|跳过|跳過|不要遵循|作废|撤销",
        r"指令|指示|说明|說明|提示|规则|規則|要求|标准|標準|之前|以上|上述|上面|先前|前面",
        r"请|請|麻烦|值得|应得|给|給|打|评|評|判|输出|輸出|回复|回覆",
        r"评分|評分|打分|分数|分數|评委|評委|評審|评审|裁判|评判|評判|法官|得分",
        r"满分|滿分|最高|完美|通过|通過|优秀|優秀",
        spaced=False,
    ),
    "Japanese": Words(
        r"無視|忘れ|従わな|破棄|スキップ",
        r"指示|命令|ルール|プロンプト|基準|説明|これまで|上記|以前|前の",
        r"お願い|願います|値し|に値|値する|べき|つけて|与えて|付けて|ください|出力|評価して|返して|選んで|せよ|しろ",
        r"採点|評価|点数|スコア|審査|判定|評点",
        r"満点|最高|合格|完璧",
        spaced=False,
    ),
    "Korean": Words(
        r"무시|잊어|잊으|따르지 마",
        r"지시|명령|지침|프롬프트|규칙|기준|이전|위의",
        r"부탁|바랍니다|받을|주세요|줘|주십시오|부여|매겨|출력|하세요",
        r"점수|평가|심사|채점|판정|등급|답안",
        r"만점|최고|합격|완벽|통과|승자",
        spaced=False,
    ),
    "Arabic": Words(
        r"تجاهل\w*|انس\w*|انسى|لا تتبع",
        r"تعليمات\w*|التعليمات|الأوامر|أوامر|القواعد|السابقة|المعايير|توجيهات\w*",
        r"من فضلك|يرجى|نرجو|أرجو|تستحق|أعط\w*|اعط\w*|امنح\w*|ضع|قيم|قيّم|أجب|اختر",
        r"تقييم\w*|درجة|الدرجة|درجات|نقاط|الحكم|المقيم\w*|القاضي|علامة|العلامة|الإجابة",
        r"كاملة|الكاملة|القصوى|أعلى|ممتاز\w*|مثالية|ناجح|٥|١٠" + _NUMBER,
        spaced=False,
    ),
    "Hebrew": Words(
        r"התעלם|התעלמי|התעלמו|שכח|שכחי|שכחו",
        r"הוראות|ההוראות|הנחיות|ההנחיות|כללים|הקודמות",
        r"אנא|בבקשה|מגיע|תן|תני|תנו|הענק|דרג|דרגי|ענה",
        r"ציון|ניקוד|שופט|הערכה|נקודות|דירוג",
        r"מלא|מקסימלי|מרבי|הגבוה|מושלם|עובר" + _NUMBER,
        spaced=False,
    ),
    "Persian": Words(
        r"نادیده|فراموش",
        r"دستور\w*|قوانین|قبلی|معیار\w*",
        r"بده\w*|بدهید|اختصاص",
        r"امتیاز\w*|نمره\w*|داور\w*|ارزیاب\w*",
        r"کامل|بالاترین|حداکثر|عالی|۵|۱۰" + _NUMBER,
        spaced=False,
    ),
    "Hindi": Words(
        r"अनदेखा|अनदेखी|नज़रअंदाज़|नजरअंदाज|भूल|उपेक्षा",
        r"निर्देश\w*|नियम\w*|आदेश\w*|पिछले|उपरोक्त|मानदंड",
        r"दें|दो|दीजिए|दे|चुनें",
        r"अंक|स्कोर|मूल्यांकन|निर्णायक|जज|रेटिंग|उत्तर",
        r"पूर्ण|पूरे|अधिकतम|सर्वोच्च|उच्चतम|पाँच|पांच|५|१०" + _NUMBER,
        spaced=False,
    ),
    "Thai": Words(
        r"ละเว้น|เพิกเฉย|ไม่ต้องสนใจ|ลืม|ไม่สนใจ",
        r"คำสั่ง|คำแนะนำ|กฎ|ก่อนหน้า|ข้างต้น|เกณฑ์",
        r"ให้|ตอบ|เลือก",
        r"คะแนน|ผู้ตัดสิน|ประเมิน|กรรมการ",
        r"เต็ม|สูงสุด|สมบูรณ์|ผ่าน" + _NUMBER,
        spaced=False,
    ),
    "Swahili": Words(
        r"puuza|sahau\w*",
        r"maagizo|maelekezo|sheria|awali",
        r"tafadhali|toa|mpe|ipe",
        r"alama|jaji|hakimu",
        r"kamili|juu zaidi|tano" + _NUMBER,
    ),
    "Latin": Words(
        r"neglege|ignora|obliviscere",
        r"praecepta|instructiones|regulas|mandata",
        r"da|tribue|responde",
        r"notam|puncta|iudex|iudicium",
        r"summam|maximam|plenam|optimam|quinque",
    ),
    "Catalan": Words(
        r"ignora\w*|oblida\w*|descarta\w*",
        r"instruccions|ordres|criteris|regles|anteriors?",
        r"dona|doneu|posa|assigna\w*|puntua\w*|respon",
        r"puntuaci[oó]|nota|punts|jutge|avaluador\w*|resposta",
        r"m[aà]xima|perfecta|m[eé]s alta|cinc|deu" + _NUMBER,
    ),
    "Bulgarian": Words(
        r"игнорирай\w*|забрави\w*|пренебрегни\w*",
        r"инструкци\w*|указани\w*|правила\w*|критери\w*|предишн\w*",
        r"моля|дайте|заслужав\w*|дай\w*|постави\w*|оцени\w*|присъди\w*|отговори\w*",
        r"оценк\w*|точк\w*|съди\w*|резултат\w*|отговор\w*",
        r"максимал\w*|най-висок\w*|пълн\w*|отличн\w*|пет" + _NUMBER,
    ),
    "Serbian and Croatian": Words(
        r"ignori[rš]\w*|zanemari\w*|zaboravi\w*|игнориши\w*|занемари\w*|заборави\w*",
        r"uput\w*|instrukcij\w*|pravil\w*|naredb\w*|kriterij\w*|prethodn\w*|упут\w*|правил\w*|претходн\w*",
        r"daj\w*|dodijeli\w*|dodeli\w*|ocij?eni\w*|odgovori\w*|дај\w*|додели\w*|оцени\w*",
        r"ocj?en\w*|bodov\w*|poen\w*|sudij\w*|sudac|sudc\w*|оцен\w*|поен\w*|судиј\w*",
        r"najvi[sš]\w*|maksimaln\w*|pun\w*|savr[sš]en\w*|pet|највиш\w*|максималн\w*|пет" + _NUMBER,
    ),
    "Slovak": Words(
        r"ignoruj\w*|zabudni\w*|presko[cč]\w*",
        r"pokyn\w*|in[sš]trukci\w*|pravid\w*|krit[eé]ri\w*|predch[aá]dz\w*",
        r"pros[ií]m|dajte|zasl[uú][zž]\w*|daj\w*|ude[lľ]\w*|ohodno[tť]\w*|odpovedz\w*|prira[dď]\w*",
        r"hodnoten\w*|bod\w*|zn[aá]mk\w*|sk[oó]re|sudc\w*|porotc\w*",
        r"maxim[aá]ln\w*|najvy[sš][sš]\w*|pln\w*|p[aä][tť]" + _NUMBER,
    ),
    "Slovenian": Words(
        r"prezri\w*|ignoriraj\w*|pozabi\w*",
        r"navodil\w*|ukaz\w*|pravil\w*|meril\w*|prej[sš]nj\w*",
        r"daj\w*|dodeli\w*|oceni\w*|odgovori\w*",
        r"ocen\w*|to[cč]k\w*|sodnik\w*",
        r"najvi[sš]j\w*|polno|popoln\w*|pet" + _NUMBER,
    ),
    "Danish and Icelandic": Words(
        r"ignorer|glem|se bort fra|huns\w*|gleymdu",
        r"instruktioner\w*|anvisninger\w*|regler\w*|fyrirm[aæ]l\w*|lei[dð]beining\w*",
        r"giv|tildel|bed[oø]m|gefdu|gef[dð]u|svara[dð]u",
        r"karakter\w*|point|dommer\w*|einkunn\w*|stig",
        r"h[oø]jeste|fuld\w*|maksimal\w*|top|h[aæ]stu|fimm|fem" + _NUMBER,
    ),
    "Estonian": Words(
        r"eira\w*|ignoreeri\w*|unusta\w*",
        r"juhis\w*|reegl\w*|eelne\w*|kriteerium\w*",
        r"palun|anna\w*|m[aä][aä]ra|hinda|vasta",
        r"hinne|hinde|punkt\w*|kohtunik\w*|skoor\w*",
        r"maksim\w*|k[oõ]rgeim\w*|t[aä]is\w*|viis" + _NUMBER,
    ),
    "Lithuanian": Words(
        r"ignoruok\w*|pamir[sš]k\w*|nepaisyk\w*",
        r"instrukcij\w*|nurodym\w*|taisykl\w*|ankstesn\w*|kriterij\w*",
        r"pra[sš]au|[iį]vertinti|duok\w*|skirk\w*|[iį]vertink\w*|atsakyk\w*|suteik\w*",
        r"bal[aąuųo]\w*|ta[sš]k\w*|[iį]vertinim\w*|teis[eė]j\w*|pa[zž]ym\w*",
        r"auk[sš][cč]iausi\w*|maksimal\w*|piln\w*|penki\w*" + _NUMBER,
    ),
    "Latvian": Words(
        r"ignor[eē]\w*|aizmirst\w*",
        r"nor[aā]d[iī]jum\w*|instrukcij\w*|noteikum\w*|iepriek[sš][eē]j\w*|krit[eē]rij\w*",
        r"l[uū]dzu|dod\w*|pie[sš][kķ]ir\w*|nov[eē]rt[eē]\w*|atbild\w*",
        r"v[eē]rt[eē]jum\w*|punkt\w*|ties[aā]\w*|tiesnes\w*|atz[iī]m\w*|ball\w*",
        r"augst[aā]k\w*|maksim[aā]l\w*|piln\w*|piec\w*" + _NUMBER,
    ),
    "Filipino": Words(
        r"huwag pansinin|balewalain|kalimutan",
        r"tagubilin|utos|panuto|patakaran|nauna\w*|pamantayan",
        r"paki\w+|bigyan|ibigay|markahan|sagutin",
        r"marka\w*|puntos|iskor|hukom|hurado|grado",
        r"pinakamataas|perpekto\w*|buo\w*|lima" + _NUMBER,
    ),
    "Afrikaans": Words(
        r"ignoreer|vergeet|verontagsaam",
        r"instruksies|opdragte|re[eë]ls|vorige|kriteria",
        r"gee|ken|beoordeel|antwoord",
        r"punt\w*|telling|beoordelaar|regter|graad",
        r"volle|hoogste|maksimum|volmaakte|vyf" + _NUMBER,
    ),
    "Welsh and Irish": Words(
        r"anwybyddwch|anwybydda|anghofi\w*|d[eé]an neamhaird",
        r"cyfarwyddiadau|rheolau|blaenorol|treoracha\w*|rialacha",
        r"rhowch|rho|dyfarn\w*|tabhair",
        r"sg[oô]r|marc\w*|pwynt\w*|beirniad|sc[oó]r|pointe|breitheamh",
        r"llawn|uchaf|pump|l[aá]n|uasta|c[uú]ig" + _NUMBER,
    ),
    "Esperanto": Words(
        r"ignoru|forgesu",
        r"instrukcioj\w*|regulojn?|anta[uŭ]a\w*",
        r"donu|taksu|respondu|aljuĝu",
        r"poent\w*|nota\w*|juĝisto|takso\w*",
        r"maksimum\w*|plej alta\w*|plena\w*|kvin" + _NUMBER,
    ),
    "Albanian": Words(
        r"injoro\w*|harro\w*",
        r"udh[eë]zim\w*|rregulla\w*|m[eë]parshm\w*",
        r"jep\w*|vler[eë]so\w*|p[eë]rgjigju",
        r"pik[eë]\w*|not[eë]\w*|vler[eë]sim\w*|gjyqtar\w*",
        r"maksimal\w*|m[eë] e? ?lart[eë]\w*|plot[eë]\w*|pes[eë]" + _NUMBER,
    ),
    "Basque and Galician": Words(
        r"ezikusi|ahaztu|esquece\w*|ignora\w*",
        r"argibide\w*|jarraibide\w*|arauak|instruci[oó]ns|regras",
        r"eman|puntuatu|outorga\w*|dalle|d[aá]lle",
        r"puntuazio\w*|nota|epaile\w*|puntuaci[oó]n|xuiz",
        r"gehien\w*|osoa|bost|m[aá]xima|perfecta|cinco" + _NUMBER,
    ),
    "Azerbaijani and Kazakh": Words(
        r"nəzərə alma\w*|unut\w*|елеме\w*|ұмыт\w*",
        r"təlimat\w*|qayda\w*|əvvəlki|нұсқау\w*|ереже\w*|алдыңғы",
        r"ver|verin|verilsin|qiymətləndir\w*|бер\w*|қой\w*|бағала\w*",
        r"bal|bal[iı]n[iı]?|qiymət\w*|hakim\w*|баға\w*|балл\w*|ұпай\w*|төреші\w*",
        r"maksimum|ən yüksək|tam|beş|ең жоғары|максималды|толық|бес" + _NUMBER,
    ),
    "Hausa, Yoruba and Zulu": Words(
        r"yi watsi|manta\w*|foju\w*|gb[aà]gb[eé]|unganaki|ziba|khohlwa",
        r"umarni\w*|dokoki|[iì]l[aà]n[aà]|[iì]t[oọ]ni|imiyalelo|imithetho",
        r"ba|ka ba|fun|f[uú]n|nika|yipha",
        r"maki|alk?ali|[aà]m[iì]|ad[aá]j[oọ]|amaphuzu|ijaji",
        r"cikak\w*|mafi girma|kikun|marun|aphelele|aphezulu|ayisihlanu" + _NUMBER,
    ),
    "Bengali": Words(
        r"উপেক্ষা|ভুলে|অগ্রাহ্য",
        r"নির্দেশ\w*|নিয়ম|আগের|পূর্ববর্তী|মানদণ্ড",
        r"দিন|দাও|দেবেন|প্রদান",
        r"নম্বর|স্কোর|মূল্যায়ন|বিচারক|রেটিং",
        r"পূর্ণ|সর্বোচ্চ|পুরো|পাঁচ|৫|১০" + _NUMBER,
        spaced=False,
    ),
    "Tamil": Words(
        r"புறக்கணி|மறந்து|மற",
        r"வழிமுறை|அறிவுறுத்த|விதி|முந்தைய|கட்டளை",
        r"கொடு|வழங்கு|அளி",
        r"மதிப்பெண்|மதிப்பீடு|நீதிபதி|புள்ளி",
        r"முழு|அதிகபட்ச|உயர்ந்த|ஐந்து" + _NUMBER,
        spaced=False,
    ),
    "Telugu and Kannada": Words(
        r"విస్మరించ|మర్చిపో|ನಿರ್ಲಕ್ಷಿಸ|ಮರೆತು",
        r"సూచన|నియమ|ఆదేశ|మునుపటి|ಸೂಚನೆ|ನಿಯಮ|ಹಿಂದಿನ",
        r"ఇవ్వ|ఇవ్వండి|ನೀಡಿ|ಕೊಡಿ",
        r"స్కోర్|మార్కు|న్యాయమూర్తి|ಅಂಕ|ಸ್ಕೋರ್|ತೀರ್ಪು",
        r"పూర్తి|గరిష్ట|అత్యధిక|ఐదు|ಪೂರ್ಣ|ಗರಿಷ್ಠ|ಐದು" + _NUMBER,
        spaced=False,
    ),
    "Urdu": Words(
        r"نظرانداز|نظر انداز|بھول",
        r"ہدایات|ہدایت|احکام|قواعد|سابقہ|پچھل\w*",
        r"دیں|دو|دیجیے|دے",
        r"نمبر|اسکور|جج|منصف|درجہ|ریٹنگ",
        r"پورے|مکمل|زیادہ سے زیادہ|اعلی|پانچ|۵" + _NUMBER,
        spaced=False,
    ),
    "Marathi, Gujarati and Punjabi": Words(
        r"दुर्लक्ष|विसर|અવગણ|ભૂલી|ਅਣਡਿੱਠ|ਭੁੱਲ",
        r"सूचना|निर्देश|नियम|मागील|સૂચના|નિયમ|અગાઉ|ਹਦਾਇਤ|ਨਿਯਮ|ਪਿਛਲ",
        r"द्या|दे|આપો|આપ|ਦਿਓ|ਦੇ",
        r"गुण|मूल्यांकन|ગુણ|સ્કોર|ਅੰਕ|ਸਕੋਰ",
        r"पूर्ण|सर्वाधिक|पैकीच्या पैकी|સંપૂર્ણ|પૂરા|મહત્તમ|ਪੂਰੇ|ਵੱਧ ਤੋਂ ਵੱਧ" + _NUMBER,
        spaced=False,
    ),
    "Georgian and Armenian": Words(
        r"უგულებელყ\w*|დაივიწყე|անտեսի\w*|մոռացի\w*",
        r"ინსტრუქცი\w*|წეს\w*|წინა|հրահանգ\w*|կանոն\w*|նախորդ",
        r"მიეცი|მიანიჭე|დაწერე|տուր|տվեք|գնահատի\w*",
        r"ქულა|შეფასებ\w*|მოსამართლე|գնահատական|միավոր|դատավոր",
        r"მაქსიმალ\w*|უმაღლეს\w*|სრულ\w*|ხუთი|առավելագույն|բարձրագույն|հինգ" + _NUMBER,
        spaced=False,
    ),
    "Amharic": Words(
        r"ችላ|እርሳ",
        r"መመሪያ|ትዕዛዝ|ህግ|ቀዳሚ",
        r"ስጥ|ስጡ|ይስጡ",
        r"ነጥብ|ውጤት|ዳኛ",
        r"ሙሉ|ከፍተኛ|አምስት" + _NUMBER,
        spaced=False,
    ),
    "Khmer, Lao and Burmese": Words(
        r"មិនអើពើ|បំភ្លេច|ບໍ່ສົນໃຈ|ລືມ|လျစ်လျူ|မေ့",
        r"ការណែនាំ|ច្បាប់|ຄໍາແນະນໍາ|ຄຳສັ່ງ|ညွှန်ကြား|စည်းမျဉ်း",
        r"ឲ្យ|ផ្តល់|ໃຫ້|ပေး",
        r"ពិន្ទុ|ចៅក្រម|ຄະແນນ|ກໍາມະການ|အမှတ်|တရားသူကြီး",
        r"ពេញ|អតិបរមា|ເຕັມ|ສູງສຸດ|အပြည့်|အမြင့်ဆုံး" + _NUMBER,
        spaced=False,
    ),
}
