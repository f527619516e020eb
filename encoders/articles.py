"""Put the right article before an English noun phrase: by rule, with short lists of what no rule knows."""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BOUNDARY = re.compile(
    r" (?:a|an|and|at|behind|between|by|crackling|from|in|of|on|over|the|that|through|to|under|up|while|with)\b"
)
"""What ends the noun that comes first, and so its number."""
_UNCOUNTED = _words(
    """
    ambience anime applause archery art bacon badminton bamboo baseball basketball beatboxing birdsong bread
    breakfast broccoli candlelight candy cereal champagne chatter cheese chess chewing chocolate christmas
    clothing code coffee communion confetti corn couscous cream crochet cutlery damage darkness day daylight denim
    dinner diwali dough easter eid embroidery eve falafel feedback firewood flamenco fog food football footwear
    frost fruit furniture garlic gold golf graffiti grass hail hair halloween handwriting hanukkah haze hip hockey
    holi holly honey hop hour hummus ice indoors ivy jazz jewellery juice karaoke kimchi kitchenware laughter
    lavender lemonade luggage lunch makeup meat meditation metal milk minimalism mist monstera moonlight moss
    music nature night nowruz origami outdoors paella paint paper pasta pho photography popcorn porridge pottery
    prayer rain reggae rice rugby salsa sand seafood seaweed sepia sightseeing silver smoke snow soap soccer soda
    spaghetti speech static steam sum sunlight sushi symmetry tableware tango tea techno tempura tennis
    thanksgiving thunder toast tofu traffic twilight underwater velcro vera volleyball water weather wheat whisky
    wind wine wood yarn year yoga yoghurt
    """
)
_PLURAL = _words("children dice feet geese men mice people police sheep skis teeth women")
_ONE_WITH_S = _words("bus canvas gas lens")
_THE = _words("coast countryside horizon moon sea sky sun way")
"""Of which there is one, as in "the night sky" and "the milky way"."""
_NOUNS_IN_ING = _words(
    """
    building ceiling crossing drawing duckling dumpling earring evening greeting king landing meeting morning painting
    pudding rendering ring seedling setting spring string swing thing wedding wing
    """
)
_WHOLE = frozenset({"fish and chips", "gregorian chant", "heavy breathing", "santa claus", "throat singing"})
"""Phrases that stand alone, whatever their words say."""
_VOWEL_SOUND = re.compile(r"hour|honest|heir|x-ray|[aeiou]", re.IGNORECASE)
_NO_VOWEL_SOUND = re.compile(r"uni(?!n)|use|usu|uku|eu|ewe|one\b|once", re.IGNORECASE)


def with_article(phrase: str) -> str:
    """Return a noun phrase with "a", "an", "the" or nothing before it.

    What somebody does has none ("playing guitar"), and whoever does it has one ("a dog barking").
    """
    head = _head(phrase)
    if phrase in _WHOLE or head is None or head in _UNCOUNTED or _plural(head):
        return phrase
    if head in _THE and phrase.endswith(head):
        return f"the {phrase}"
    return f"{indefinite(phrase)} {phrase}"


def indefinite(phrase: str) -> str:
    """Return "an" before the sound of a vowel, else "a"."""
    return "an" if _VOWEL_SOUND.match(phrase) and not _NO_VOWEL_SOUND.match(phrase) else "a"


def _head(phrase: str) -> str | None:
    """Return the noun that decides on the article, None where the phrase begins with a verb."""
    words = _BOUNDARY.split(phrase, maxsplit=1)[0].split()
    for place, word in enumerate(words):
        if word.endswith("ing") and word not in _NOUNS_IN_ING and (place > 0 or len(words) == 1):
            return words[place - 1] if place else None  # "dog barking", or "barking" alone
    return words[-1]


def _plural(noun: str) -> bool:
    if noun in _PLURAL:
        return True
    return noun.endswith("s") and not noun.endswith(("ss", "us", "is")) and noun not in _ONE_WITH_S
