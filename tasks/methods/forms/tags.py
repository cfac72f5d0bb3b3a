"""Schemes of entity tags, and their conversion to IOB2.

In IOB2 an entity begins with B-TYPE and goes on with I-TYPE; in IOB1 B- only separates an entity from one of the same
type before it; in IO an entity has no beginning, and prefixes may be missing; IOBES marks the end (E-) and single words
(S-), BILOU likewise (L-, U-). Sources: Ramshaw and Marcus 1995 (IOB1); Ratinov and Roth 2009 (BILOU).
"""

from functools import cache
from itertools import pairwise

from schemas.recipe.problem import TokenClassification
from tasks.methods.forms.form import shown
from tasks.methods.rows import compose

OUTSIDE = "O"
# Prefixes of a scheme with those of IOB2 that they become.
PREFIXES = {
    "iob2": {"B": "B", "I": "I"},
    "iob1": {"B": "B", "I": "I"},
    "io": {"I": "I"},
    "iobes": {"B": "B", "I": "I", "E": "I", "S": "B"},
    "bilou": {"B": "B", "I": "I", "L": "I", "U": "B"},
}
# Schemes whose entities may begin with I-.
WITHOUT_BEGINNING = ("iob1", "io")
# Schemes whose entities of several words have a last word of their own.
WITH_END = ("iobes", "bilou")

# Prefix and type of a tag.
Tag = tuple[str, str]


def to_iob2(tags: list[str], problem: TokenClassification) -> list[str]:
    """Convert tags of the problem's scheme. Raises ValueError with the first invalid tag in words."""
    scheme, known = _scheme(problem), _known_tags(problem)
    found: list[Tag] = []
    for tag in tags:
        spelled = compose(tag).lower() if problem.tags == "lower-case" else compose(tag)
        if spelled not in known:
            raise ValueError(f"{shown(tag)}{_likely_scheme(tag, tags, problem)}")
        found.append(known[spelled])
    for place, (before, following) in enumerate(pairwise([(OUTSIDE, ""), *found, (OUTSIDE, "")])):
        if not _may_follow(before, following, scheme):
            said = ["the start", *map(shown, tags), "the end"]
            hint = ", as in IOB1: set problem.tags to iob1" if problem.tags is None else ""
            raise ValueError(f"{said[place + 1]} after {said[place]}{hint}")
    return [_convert(before, following, scheme) for before, following in pairwise([(OUTSIDE, ""), *found])]


def _scheme(problem: TokenClassification) -> str:
    return problem.tags if isinstance(problem.tags, str) and problem.tags in PREFIXES else "iob2"


@cache
def _known_tags(problem: TokenClassification) -> dict[str, Tag]:
    scheme = _scheme(problem)
    known = {f"{prefix}-{kind}": (prefix, kind) for prefix in PREFIXES[scheme] for kind in problem.labels}
    known[OUTSIDE] = (OUTSIDE, "")
    if scheme == "io":
        known |= {kind: ("I", kind) for kind in problem.labels}
    if problem.tags == "lower-case":
        return {tag.lower(): parts for tag, parts in known.items()}
    if isinstance(problem.tags, tuple):
        return {str(number): known[tag] for number, tag in enumerate(problem.tags)}
    return known


def _may_follow(before: Tag, tag: Tag, scheme: str) -> bool:
    if scheme in WITHOUT_BEGINNING:
        return True
    goes_on, is_open = tag[0] in ("I", "E", "L"), before[0] in ("B", "I")
    if goes_on:
        return is_open and before[1] == tag[1]
    return not (is_open and scheme in WITH_END)


def _convert(before: Tag, tag: Tag, scheme: str) -> str:
    prefix, kind = tag
    if prefix == OUTSIDE:
        return OUTSIDE
    begins = scheme in WITHOUT_BEGINNING and before[1] != kind
    return f"{'B' if begins else PREFIXES[scheme][prefix]}-{kind}"


def _likely_scheme(tag: str, tags: list[str], problem: TokenClassification) -> str:
    """Name the scheme that an unknown tag suggests, in words; nothing if there is none."""
    prefix, _, kind = tag.partition("-")
    if isinstance(problem.tags, tuple):
        return ""
    if tag == "0" and not all(one.isdigit() for one in tags):
        return ", the digit zero in place of the letter O"
    if tag.isdigit():
        return ", a number: give problem.tags the tags in the order of their numbers"
    for scheme, prefixes in (("iobes", "ES"), ("bilou", "LU")):
        if kind in problem.labels and prefix in prefixes:
            return f", as in {scheme.upper()}: set problem.tags to {scheme}"
    if tag in problem.labels:
        return ", a type without prefix, as in IO: set problem.tags to io"
    if problem.tags == "io" and prefix == "B" and kind in problem.labels:
        return ", a beginning, as in IOB2 and IOB1: set problem.tags to iob2 or iob1"
    if problem.tags is not None:
        return ""
    lowered = {OUTSIDE.lower(), *(f"{prefix}-{kind}".lower() for prefix in "BI" for kind in problem.labels)}
    return ", in another case: set problem.tags to lower-case" if tag.lower() in lowered else ""
