"""What turns a statement into another one: negations, opposites, bounds; and what leaves it the same:
synonyms.

Lists of words, English first; negations of the other languages of Llama, too. They are data, not a model:
what is not in them is compared as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from llama_bedrock.grounding.claim_words import words

_LIMITS = r"(?:more|less|fewer|later|earlier|longer|larger|greater|higher|older|bigger|smaller) than"
_NEGATION = re.compile(
    r"(?P<none>\b(?:not (?:only|just|merely|simply)|nothing but|no doubt|whether or not|if not|"
    rf"(?:no|not) (?:(?:be|take|have|cost) )?{_LIMITS}|(?:not|never|cannot) exceed|no\. ?\d)\b)"
    r"|\b(?:not|cannot|never|no|none|nobody|nothing|nowhere|neither|nor|without|unless|hardly|barely|"
    r"fails?|failed|failing|lacks?|lacked|lacking|unable|incapable|impossible|forbids?|forbidden|prohibits?|"
    r"prohibited|refuses?|refused|except|excludes?|excluded|false)\b"
    r"|\w+n['’]t\b"
    r"|\b(?:nicht|kein|keine|keinen|keinem|keiner|keines|nie|niemals|niemand|nichts|ohne|weder)\b"
    r"|\b(?:pas|jamais|aucun|aucune|sans|ni|personne ne|rien)\b"
    r"|\b(?:nunca|jamás|ningún|ninguna|ninguno|tampoco|sin|non|mai|nessun|nessuna|nessuno|senza|não|nem|"
    r"nenhum|nenhuma|sem|jamais)\b"
    r"|नहीं|\bन\b|मत|ไม่|[不没沒無无未非勿别](?![同过])|ません|ない|なく|ず(?=に|、|。|$)|않|없|아니|못",
    re.IGNORECASE,
)
_NOT_IN_LANGUAGE = re.compile(  # "no" is "in the" in Portuguese, "sin" and "false" are other words elsewhere
    r"\b(?:os|uma|são|não|dos|da)\b", re.IGNORECASE
)
_WITHOUT = frozenset(("without", "ohne", "sans", "sin", "senza", "sem"))
_EITHER = frozenset(("nor", "ni", "nem"))  # part of a negation that began before
_BOUNDS = (
    ("at-least", r"\b(?:at least|no (?:less|fewer) than|not less than|minimum|min\.|or more|from)\b|[≥]"),
    (
        "at-most",
        r"\b(?:at most|up to|(?:no|not) (?:be |take |have |cost )?"
        r"(?:more|later|longer|larger|greater|higher|bigger|older) than"
        r"|(?:not|never|cannot) exceed|maximum|max\.|or (?:less|fewer)|within)\b|[≤]",
    ),
    (
        "above",
        r"\b(?:more than|over|above|exceed\w*|greater than|longer than|older than|after)\b"
        r"(?=\W+(?:\w+\W+)?\d)|>",
    ),
    (
        "below",
        r"\b(?:less than|fewer than|under|below|shorter than|younger than|smaller than|before)\b"
        r"(?=\W+(?:\w+\W+)?\d)|<",
    ),
)
_BOUND_PATTERNS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _BOUNDS)
_UP, _DOWN = frozenset(("at-least", "above")), frozenset(("at-most", "below"))

# What stands between bars means the same, and none of it what stands behind another bar.
_OPPOSITES = """
increase rise grow gain climb raise | decrease fall drop decline shrink reduce lower sink lessen
more higher greater larger bigger | less lower fewer smaller
most highest largest biggest maximum | least lowest smallest minimum
before earlier | after later
above | below beneath
always constantly | never rarely seldom
all every each whole entire | some most few several partly
enable activate | disable deactivate
allow permit accept admit | forbid deny reject disallow ban block
include contain | exclude omit
required mandatory obligatory compulsory must | optional voluntary
true | false
yes | no
on | off
open | close shut
start begin launch commence | end stop finish terminate
add insert append | remove delete erase drop
create | destroy delete
first | last
early | late
fast quick rapid | slow
faster quicker | slower
cheap inexpensive | expensive costly
cheaper | dearer
easy simple | difficult hard
hot warm | cold cool
strong | weak
safe secure | unsafe insecure dangerous
public | private
local | remote
internal | external
input | output
import | export
upload | download
read | write
win | lose
pass succeed | fail
success | failure
support | oppose
agree | disagree
better | worse
best | worst
good | bad
positive | negative
left | right
north | south
northern | southern
east | west
eastern | western
up upward | down downward
inside | outside
new | old
young | old
long | short
longer | shorter
high | low
large big huge | small little tiny
full | empty
rich | poor
rare uncommon | common frequent usual
light | dark
black | white
male | female
day | night
morning | evening
summer | winter
daily | weekly | monthly | yearly annual
synchronous sync | asynchronous async
encrypted | plaintext
static | dynamic
manual | automatic
online | offline
legal | illegal
valid | invalid
correct right | incorrect wrong
possible | impossible
active | inactive
complete | incomplete
visible | invisible hidden
known | unknown
present | absent
same identical equal | different distinct
single one | multiple several many
free | paid
gain profit | loss
love like | hate dislike
ally friend | enemy
push | pull
lock | unlock
connect | disconnect
install | uninstall
trust | distrust
wet | dry
dead | alive
thick | thin
wide broad | narrow
deep | shallow
heavy | light
"""
_SYNONYMS = """
use employ utilise utilize
show display
picture image photo
choose pick select
help assist aid
need require must
price cost fee charge
error fault
speed rate
begin start launch commence
end stop finish
make create produce build manufacture
maker manufacturer producer
keep retain store
get obtain receive
give provide offer supply
company firm business
find locate discover
fix repair mend
try attempt
buy purchase acquire
big large huge
fast quick rapid
animal creature
yearly annual
advance ahead beforehand
found establish
ask request query
reply answer respond response
delete remove erase
document file
execute run
start launch
maximum limit
"""
_GENERAL = """
use way key provide include like help one however well example various specific make also allow need several
different certain consider ensure become get give take able important possible multiple additional involve
indicate mean show follow let see want work thing set both within such generally typically usually simply
easily available use case instead rather whether further overall effectively directly particular based
"""
_ORDERED = """
before after above below more less higher lower greater smaller larger faster slower cheaper longer shorter
better worse
"""


@dataclass(frozen=True, slots=True)
class Polarity:
    """Whether a clause denies what it speaks of.

    Attributes:
        denies: It has an odd number of negations, not counting "without".
        has_without: It says "without".
    """

    denies: bool = False
    has_without: bool = False

    @property
    def is_negated(self) -> bool:
        """Whether it denies, by "without" if by nothing else."""
        return self.denies or self.has_without

    def differs_from(self, other: Polarity) -> bool:
        """Whether one denies and the other does not."""
        if self.has_without and other.has_without:
            return self.denies != other.denies
        return self.is_negated != other.is_negated

    def under(self, lead: Polarity) -> Polarity:
        """The same in a list below a line that may deny it."""
        return Polarity(self.denies ^ lead.is_negated, self.has_without)


def _negations(text: str) -> list[re.Match[str]]:
    found: list[re.Match[str]] = []
    foreign = _NOT_IN_LANGUAGE.search(text) is not None
    for match in _NEGATION.finditer(text):
        cue = match[0].lower()
        if not (match["none"] or (cue in _EITHER and found) or (cue == "no" and foreign)):
            found.append(match)
    return found


def polarity(text: str) -> Polarity:
    """Whether a clause denies what it speaks of."""
    cues = [match[0].lower() for match in _negations(text)]
    without = sum(cue in _WITHOUT for cue in cues)
    return Polarity((len(cues) - without) % 2 == 1, without > 0)


def denied(text: str) -> str:
    """What the negation of a clause is about: what follows it, or all where nothing does."""
    found = _negations(text)
    rest = text[found[0].end() :] if found and " " in text.strip() else text
    return rest if re.search(r"\w", rest) else text


def bounds(text: str) -> frozenset[str]:
    """The kinds of bounds in a clause: ``at-least``, ``at-most``, ``above`` and ``below`` a number."""
    found = set()
    for name, pattern in _BOUND_PATTERNS:
        rest = pattern.sub(" ", text)  # "no more than" is not "more than", too
        if rest != text:
            found.add(name)
            text = rest
    return frozenset(found)


def bounds_differ(claim: frozenset[str], said: frozenset[str]) -> bool:
    """Whether one bounds from above what the other bounds from below."""
    return bool((claim & _UP and said & _DOWN and not said & _UP and not claim & _DOWN)
                or (claim & _DOWN and said & _UP and not said & _DOWN and not claim & _UP))  # fmt: skip


@cache
def _forms(text: str) -> list[str]:
    return [word.form for word in words(text)]


@cache
def _tables() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Synonyms and opposites by form."""
    alike: dict[str, set[str]] = {}
    against: dict[str, set[str]] = {}
    for line in _OPPOSITES.strip().split("\n"):
        sides = [_forms(side) for side in line.split("|")]
        for side in sides:
            others = {form for other in sides if other is not side for form in other}
            for form in side:
                against.setdefault(form, set()).update(others)
    for group in [*_SYNONYMS.strip().split("\n"), *re.split(r"[|\n]", _OPPOSITES.strip())]:
        forms = _forms(group)
        for form in forms:
            alike.setdefault(form, set()).update(forms)
    return alike, against


_NEGATING = """
not cannot never no none nobody nothing nowhere neither nor without unless hardly barely fail lack unable
incapable impossible forbid forbidden prohibit prohibited refuse except exclude false nicht kein keine keinen
keinem keiner nie niemals niemand nichts ohne weder pas jamais aucun aucune sans rien nunca ningún ninguna sin
non mai nessun nessuna senza não nem nenhum sem
"""
NEGATING = frozenset(_forms(_NEGATING))
"""Forms of the words that deny: a negation, and no fact."""


def synonyms(form: str) -> set[str]:
    """Forms of words that can stand for the same thing."""
    return _tables()[0].get(form, set()) - {form}


@cache
def is_general(form: str) -> bool:
    """Whether a word says little about any subject."""
    return form in _forms(_GENERAL)


def opposites(form: str) -> set[str]:
    """Forms of words that say the contrary, by the list or by a prefix."""
    found = set(_tables()[1].get(form, ()))
    for prefix in ("un", "non"):
        found.add(form.removeprefix(prefix) if form.startswith(prefix) and len(form) > 6 else prefix + form)
    return found


def is_ordered(form: str) -> bool:
    """Whether a word relates what stands before it to what stands after it: "before", "more"."""
    return form in _forms(_ORDERED)


def is_swapped(connector: str, claim: Iterable[str], other: str, said: Iterable[str]) -> bool:
    """Whether what stands on the two sides of a relating word stands the other way round in another text."""
    left, right = _sides(connector, list(claim))
    other_left, other_right = _sides(other, list(said))
    crossed = len(left & other_right) + len(right & other_left)
    return crossed > len(left & other_left) + len(right & other_right)


def _sides(connector: str, forms: list[str]) -> tuple[set[str], set[str]]:
    at = forms.index(connector)
    return set(forms[:at]), set(forms[at + 1 :])
