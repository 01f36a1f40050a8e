"""The subject of a prompt: phrases for searching a transformer's memory."""

import re

from vqclip.media.colour_words import COLOUR_WORDS

_PREPOSITION = (
    "with|without|in|into|on|onto|at|by|to|from|for|over|under|near|behind|as|and|or|is|are"
    "|made of|of"
)
# Participles end the subject like prepositions, but not before a noun, as in "a sleeping bag".
_TRANSITIVE = "breathing|carrying|chasing|eating|holding|wearing"
_PARTICIPLE = (
    "climbing|crying|dancing|drinking|driving|erupting|floating|flying|glowing|growing|hanging"
    "|howling|jumping|laughing|looking|lying|playing|reading|riding|running|sailing|singing|sitting"
    "|sleeping|smiling|standing|swimming|walking"
)
_SPLIT = re.compile(
    rf"\b(?:{_PREPOSITION}|(?<!^a )(?<!^an )(?<!^the )(?<!^)(?:{_TRANSITIVE}"
    rf"|(?:{_PARTICIPLE})(?=\s*$|\s+(?:an?|the|his|her|its|{_PREPOSITION})\b)))\b|[^\w\s'’-]"
)
_TWO_COLOURS = re.compile(rf"\b({'|'.join(sorted(COLOUR_WORDS))}) and ")
_WORD = re.compile(r"[^\W\d_]+")
_FUNCTION_WORDS = frozenset({"a", "an", "the", "its", "his", "her", "their", "my", "some", "s"})
_MEDIA = frozenset({"photo", "photograph", "picture", "image", "drawing", "painting", "render"})
_VOWEL = re.compile(r"(?!uni|use|usa|eu|one|once|uk|ukulele)[aeiou]|hour|honest|heir|x.ray|mri|tv$")
_SAME_IN_PLURAL = re.compile(r"..?.?|.*(?:ss|us|is)")


def subject_phrases(text: str) -> list[str]:
    """Return the phrases that may name the subject of a prompt, most specific first.

    A phrase consists of the last words before the first preposition or participle, or of the last
    words of a part that follows "of". Every phrase is also given in the singular.

    >>> subject_phrases("two boxing gloves on a table")
    ['two boxing gloves', 'two boxing glove', 'boxing gloves', 'boxing glove', 'gloves', 'glove']
    >>> subject_phrases("an oil painting of a ship in a storm")
    ['ship']
    >>> subject_phrases("a dragon breathing fire")
    ['dragon']
    """
    phrases: dict[str, None] = {}
    for words in _subjects(text):
        for length in sorted({len(words), min(len(words), 2), 1}, reverse=True):
            phrase = words[-length:]
            phrases[" ".join(phrase)] = None
            phrases[" ".join([*phrase[:-1], singular(phrase[-1])])] = None
    return list(phrases)


def subject_attributes(text: str) -> list[str]:
    """Return the words that describe the subject of a prompt, and the words of the setting.

    Colours in the setting are left out, because the subject may have another colour.

    >>> subject_attributes("a smiling yellow face with red glasses")
    ['smiling', 'yellow', 'glasses']
    """
    described = (word for words in _subjects(text) for word in words[:-1])
    setting = (word for _, words in _parts(text)[1:] for word in words if word not in COLOUR_WORDS)
    return list(dict.fromkeys((*described, *setting)))


def _subjects(text: str) -> list[list[str]]:
    """Return the parts of a prompt that may name its subject, each as a list of words."""
    named = (
        words for number, (joint, words) in enumerate(_parts(text)) if not number or joint == "of"
    )
    return [words for words in named if words and words[-1] not in _MEDIA]


def _parts(text: str) -> list[tuple[str, list[str]]]:
    """Split a prompt at prepositions, participles and punctuation into (separator, words) pairs."""
    text = _TWO_COLOURS.sub(r"\1 ", text.lower())
    parts = zip(["", *_SPLIT.findall(text)], _SPLIT.split(text), strict=True)
    return [
        (joint, [word for word in _WORD.findall(part) if word not in _FUNCTION_WORDS])
        for joint, part in parts
    ]


def articled(name: str) -> str:
    """Put "a" or "an" before a name.

    >>> [articled(name) for name in ("apple", "unicorn", "hourglass")]
    ['an apple', 'a unicorn', 'an hourglass']
    """
    return f"{'an' if _VOWEL.match(name) else 'a'} {name}"


def singular(word: str) -> str:
    """Return the singular of a regular English plural; return other words unchanged.

    >>> [singular(word) for word in ("gloves", "cherries", "boxes", "bus", "glass", "dice")]
    ['glove', 'cherry', 'box', 'bus', 'glass', 'dice']
    """
    if _SAME_IN_PLURAL.fullmatch(word):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word.removesuffix("s")
