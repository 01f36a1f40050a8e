"""Token counts, and the text beyond a CLIP model's limit."""

import re
from bisect import bisect_left

from vqclip.models.openclip import Tokenizer

_LONG_WORD = 30  # letters; longer "words" come from scripts without spaces


def is_cut(tokenize: Tokenizer, text: str, length: int) -> bool:
    """Return whether ``text`` has more than ``length`` tokens, including start and end tokens."""
    return _one_more(tokenize, text, length) != _one_more(tokenize, "", length)


def _one_more(tokenize: Tokenizer, text: str, length: int) -> int:
    """Return the token at position ``length``, which is padding unless words were cut off."""
    longer, shorter = (tokenize([text], n).sum() for n in (length + 1, length))
    return int(longer - shorter)


def count_tokens(tokenize: Tokenizer, text: str) -> int:
    """Return the number of tokens in ``text``, including start and end tokens."""
    room = 4 * len(text.encode()) + 8
    padding = tokenize([""], room)[0, -1]
    return int((tokenize([text], room)[0] != padding).nonzero().max()) + 1


def lost_text(tokenize: Tokenizer, text: str, length: int) -> str:
    """Return the part of a text beyond ``length`` tokens, starting at a word boundary.

    In scripts without spaces, this part may start at any character.
    """

    def is_lost(end: int) -> bool:
        return is_cut(tokenize, text[:end], length)

    words = list(re.finditer(r"\S+", text))
    first = words[bisect_left(words, True, key=lambda word: is_lost(word.end()))]
    start = first.start()
    if len(first[0]) > _LONG_WORD:
        start += bisect_left(range(start, first.end()), True, key=is_lost) - 1
    return text[start:].rstrip()
