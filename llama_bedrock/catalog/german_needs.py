"""Needs in German in the English words that `choosing` reads: "günstigstes Modell mit Bildern in der EU"."""

from __future__ import annotations

import re

_ENGLISH = {
    r"(?:am )?(?:günstig|billig|preiswert)\w*|nicht(?: so| zu)? teuer\w*": "cheapest",
    r"größt\w*|best\w*|stärkst\w*|große?[smnr]?": "largest",
    r"kleinst\w*|kleine?[smnr]?": "smallest",
    r"(?:lange?[nrms]? )(?:kontext(?:fenster)?|dokumente?n?|texte?n?|prompts?)": "long context",
    r"bild(?:er|ern|verständnis)?|fotos?|eingescannte?[nrs]?": "images",
    r"werkzeuge?n?|funktionsaufrufe?n?": "tools",
    r"mehrsprachig\w*|viele sprachen": "multilingual",
    r"schnell\w*|geringer latenz|niedriger latenz": "fast",
    r"trainier(?:en|bar\w*)|feinabstimmung|nachtrainieren": "training",
    r"import(?:ieren|ierbar\w*)": "import",
    r"stapelverarbeitung": "batch",
    r"nicht (?:veraltet|legacy)": "not legacy",
    r"nur text": "text only",
    r"deutschland": "germany",
    r"deutsch\w*": "german",
    r"englisch\w*": "english",
    r"französisch\w*": "french",
    r"spanisch\w*": "spanish",
    r"italienisch\w*": "italian",
    r"portugiesisch\w*": "portuguese",
    r"arabisch\w*": "arabic",
    r"europa": "europe",
    r"irland": "ireland",
    r"frankreich": "paris",
    r"indien": "india",
    r"kanada": "canada",
    r"usa": "usa",
    r"ein(?:e|en|em|er|es)?|ich|wir|brauchen?|möchten?|suchen?|will|wollen|aber|auch": "the",
    r"soll(?:en|te)?|muss|müssen|kann|können": "the",
    r"der|die|das|den|dem|des|antworte[nt]?|verste(?:ht|hen)|liest|lesen|bleiben|daten|sein|ist|sind": "the",
    r"mit|für|und|auf|von|zum|zur|modelle?[ns]?|sprachmodelle?[ns]?": "with",
    r"im|aus": "in",
    r"mindestens": "at least",
}
_WORDS = re.compile("|".join(rf"\b(?P<w{n}>{pattern})\b" for n, pattern in enumerate(_ENGLISH)))
_TARGETS = tuple(_ENGLISH.values())


def in_english(text: str) -> str:
    """The text with German words for needs in English; others stay as they are.

    Args:
        text: Needs, in lower case.
    """
    return _WORDS.sub(lambda found: _TARGETS[int(str(found.lastgroup)[1:])], text)
