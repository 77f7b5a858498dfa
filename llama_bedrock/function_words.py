"""Function words that the lists of the package stop-words lack, of ten languages.

A question is made of them: where "किसने", "quali" or "worüber" is no stop word, it outweighs all else, for
the texts that answer hardly have it. The kept lists leave out most question words but those of English. All
Hindi ones there are on PyPI, of whatever name, have one origin without "क्या" and "मैं"; the Greek one is of
Ancient Greek, the Arabic one of news agencies, and Tamil has none. So these are the closed classes as a
grammar lists them: question words, pronouns, articles, auxiliary verbs, prepositions and postpositions,
conjunctions. No word is here for what it did in a measurement, and none that is often a noun (Portuguese
"ia", artificial intelligence; Hindi "बस", bus).
"""

from __future__ import annotations

FUNCTION_WORDS = {
    "de": """
wen wem wessen weswegen wieviel wieviele wozu womit wodurch wofür woran worauf woraus worin worüber wovon
wovor wonach wogegen worum sei seien wäre wären hast habt gehabt hätte hätten wurde wurden wurdest
geworden worden konnte konnten könnten müsst mussten müsste müssten sollten willst wollt wollten darf
darfst dürfen dürft durfte dürfte dürften magst mögen möchte möchten möchtest tun tut lassen lässt ans
aufs beim durchs fürs vors ab neben seit wegen dabei dafür dagegen dahin danach daran darauf daraus darin
darüber davon davor ebenso eben etwa entweder falls jedoch obwohl schon sobald sogar sowohl weder viele
vielen vieler mehr deren denen gibt geht
""",
    "fr": """
quoi combien lequel laquelle lesquels lesquelles auquel auxquels auxquelles duquel desquels desquelles
celui celle celles peux pouvons pouvez peuvent pouvait pourrait pourrais pouvoir pu devons devez doivent
devait devrais dû veux veut voulons voulez veulent voudrais voudrait vouloir faudrait fallait faisons
vais va allons allez jusqu lorsque lorsqu puisque quoique ainsi aucune mêmes non quelque quelques quelqu
quelqu'un rien sinon tel telle telles toute déjà jamais toujours beaucoup afin
""",
    "it": """
cos quali quando perchè ella esso essa ce ve essi esse sé quest quei quegli quel quell ciò ciascuno
ciascuna ognuno alcuni alcune alcuna nessun nessuno nessuna stessa stata state posso puoi può possiamo
potete possono poteva potevano potrebbe potrei potere devi dobbiamo dovete devono doveva dovrebbe dovrei
dovere voglio vuoi vuole vogliamo volete vogliono vorrei vorrebbe volere fa viene vengono vanno prima od
appena così cioè dunque già infatti mentre molte né neanche nulla niente oppure perciò meno poiché pure
là lì soltanto troppo tuttavia affinché forse
""",
    "pt": """
quais aonde porquê quanto quanta quantos quantas cujo cuja cujos cujas mim comigo ti contigo conosco vós
si consigo vosso vossa algum alguma algumas nenhum nenhuma todo toda todas tudo nada algo alguém ninguém
outra outros outras mesma mesmos mesmas és sido sendo haviam haver posso podes podemos podem poderia
poder devo devemos devia deveria dever quero quer queremos querem queria faço fazemos fazem vou vai vamos
vão nuns numas dum duma neste nesta nestes nestas nesse nessa nesses nessas naquele naquela deste desta
destes destas desse dessa desses dessas daquele daquela nisto nisso disto disso porém contudo todavia
entretanto ainda assim portanto logo pois embora conforme muita muitas pouco pouca poucos poucas tão
tanto tanta lá aí sempre nunca apenas além
""",
    "es": """
quiénes cuál cuáles cuándo dónde adónde cuánto cuánta cuántos cuántas cuanta cuantos cuantas cuyo cuya
cuyos cuyas ustedes aquella aquello alguien puedes podía debo debes debemos debía debería deber quiero
quieres quieren vas iba allí
""",
    "hi": """
क्या कौनसी कौनसे किसने किसको किसका किसकी किसके किससे किसमें किन किन्होंने किनको किनका किनकी किनके किनसे
कब कबसे कहाँ कहां कहाँसे किधर कैसे कैसा कैसी क्यों क्यूँ कितनी कितने मैंने मुझे मुझको मुझसे मुझमें मेरा
मेरी मेरे हम हमने हमें हमको हमसे हमारा हमारी हमारे तू तूने तुझे तेरा तेरी तेरे तुमने तुम्हें तुमको तुमसे
तुम्हारी तुम्हारे आपने आपको आपसे आपका आपकी आपके वो उसने उसको उससे उसका उसकी उसमें उन्होंने उनसे उनमें
इसने इसको इससे इन्होंने इनको इनसे इनकी इनके इनमें जिसने जिसको जिससे जिसका जिसकी जिसके जिसमें जिन्होंने
जिनको जिनसे जिनका जिनकी जिनके जिनमें स्वयं खुद सब सबको हूँ हूं थीं होनी होतीं होगा होगी होंगे हुईं होकर
रही रहना रहता रहती रहते गई गयी गए गये जाना जाने जाता जाती जाते जाए जाएँ जाएं जाएगा जाएगी जाएंगे जाकर करनी
करती करे करूँ करूं करो करके किए किये कीजिए करेगा करेगी करेंगे सकना सकती सके सकें चाहिए चाहता चाहती चाहते
चाहना दी दिए दिये देना देने देता देती देते दे दें लिया ली लेना लेने लेता लेती लेते ले लें पाना पाया पाता
पाती पाते वाला वाली लगा लगता लगती लगते बिना बारे ओर तरफ ऊपर बाहर बीच पास दौरान अनुसार बजाय अलावा हेतु तहत
तथा किन्तु किंतु परन्तु परंतु बल्कि क्योंकि इसलिए अतः अगर जबकि जहां वहां यहां यहीं वही जैसी ऐसा ऐसी वैसा
वैसी वैसे जितनी जितने इतना इतनी इतने उतना ताकि हालाँकि हालांकि चाहे सिर्फ केवल अब काफी अधिक कम ज्यादा
ज़्यादा अन्य दूसरा दूसरी हर प्रत्येक हाँ जी सा सी
""",
    "ru": """
чём какое какие какого какому каким каком какую каких какими какою каков какова каково каковы которое
которому которую которым котором которыми чей чья чьё чье чьи чьего чьей откуда отчего скольких насколько
нём ним мое свой своя своё своим нашего нашей той всей такого таким таких могу можем можете могла могли
должен должна должны является являются являлся являлась имеет имеют обо изо ко подо среди ради либо
поэтому
""",
    "el": """
ποιος ποια ποιο ποιοι ποιες ποιον ποιαν ποιου ποιας ποιων ποιους πότε πού πώς γιατί πόσο πόσα πόσες πόσοι
πόσος πόση πόσων πόσους εγώ εσύ αυτός αυτή αυτό αυτοί αυτές αυτά αυτού αυτής αυτών αυτούς αυτόν αυτήν
εμείς εσείς με σε μου σου του της μας σας τους τον την τη το τα τις τες μένα σένα εμένα εσένα εμάς εσάς
εκείνος εκείνη εκείνο εκείνοι εκείνες εκείνα ο η οι των ένας μια μία ένα ενός μιας έναν κάποιος κάποια
κάποιο κάποιοι κάποιες όποιος όποια όποιο όσο όσα όσοι όσες όλα όλοι όλες όλο όλη άλλος άλλη άλλο άλλοι
άλλες άλλα κάθε κανένας καμία κανένα τίποτα κάτι ίδιο ίδια ίδιος οποίος οποία οποίο οποίοι οποίες οποίων
οποίου οποίας οποίους είμαι είσαι είναι είμαστε είστε ήμουν ήσουν ήταν ήμασταν έχω έχεις έχει έχουμε
έχετε έχουν είχα είχε είχαν μπορώ μπορείς μπορεί μπορούμε μπορείτε μπορούν μπορούσε πρέπει έπρεπε θα να
ας κάνω κάνει κάνουν έκανε γίνεται γίνονται έγινε από για στο στη στην στον στα στις στους στου στης πριν
προς χωρίς μέχρι ως αντί μέσα έξω πάνω κάτω μεταξύ υπό και κι ή είτε ούτε αλλά όμως ωστόσο αν εάν όταν
ενώ επειδή διότι ότι πως που όπου όπως ώστε δεν μη μην ναι όχι πολύ πιο λιγότερο περισσότερο μόνο ακόμα
ακόμη ήδη τώρα τότε εδώ εκεί πάντα ποτέ επίσης έτσι λοιπόν δηλαδή
""",
    "ar": """
ماذا لماذا متى أين كيف كم أي أية أيها هل بماذا لمن مما عما فيما بم أنا نحن أنت أنتم أنتن هم هن هما إياه
تلك هؤلاء أولئك هذان اللذان اللتان اللاتي لهم لنا لي لك بهم فيهم منه منهم عنه عنها عنهم إليه إليها عليهم
معه معها بينهم أنه أنها أنهم إنه إنها كأنه لأنه لأنها كانوا تكون ليس ليست يجب يتم لقد سوف يوجد توجد إلى
تحت فوق أمام وراء أو بل إن أن إذا لو لأن كي لكي بينما مثل سوى إلا أيضا أيضًا فقط هنا الآن جدا جدًا أكثر
أقل
""",
    "ta": """
ஒரு இந்த அந்த எந்த என்ன எது எவை எப்படி எவ்வாறு எங்கே எங்கு எப்போது எப்பொழுது ஏன் யார் யாருக்கு எவ்வளவு
எத்தனை நான் நாம் நாங்கள் எனக்கு எனது என் எங்கள் நமது நீ நீங்கள் உங்கள் உங்களுக்கு அவன் அவள் அவர் அவர்கள்
அவர்களின் அது அவை அதன் அதை அதில் இது இவை இதன் இதை இதில் தான் தன் தனது உள்ள உள்ளது உள்ளன இருக்கும் இருந்த
இருந்து இல்லை ஆகும் ஆக என என்று என்ற என்பது எனும் வேண்டும் முடியும் மூலம் போன்ற போல பற்றி ஆனால் அல்லது
மற்றும் மேலும் கூட மட்டும் எனவே ஆனாலும் பின்னர் பின் முன் வரை இங்கே அங்கே இங்கு அங்கு எல்லா எல்லாம் சில
பல மிக மிகவும் மற்ற
""",
}
"""By ISO 639-1 code."""
