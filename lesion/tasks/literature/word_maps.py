"""Simple maps from word to word, for prompts that teach by example. Facts and grammar; every list is our own."""

from collections.abc import Mapping

Pairs = tuple[tuple[str, str], ...]


def _pairs(text: str) -> Pairs:
    """`France Paris, Italy Rome` as pairs; an underscore stands for a space."""
    cut = (pair.split() for pair in text.split(","))
    return tuple((one.replace("_", " "), other.replace("_", " ")) for one, other in cut)


WORD_MAPS: Mapping[str, Pairs] = {
    "capital": _pairs(
        "France Paris, Italy Rome, Spain Madrid, Japan Tokyo, Germany Berlin, Russia Moscow, China Beijing, "
        "Egypt Cairo, "
        "Greece Athens, Austria Vienna, Poland Warsaw, Portugal Lisbon, Ireland Dublin, Norway Oslo, Sweden Stockholm, "
        "Finland Helsinki, Cuba Havana, Peru Lima, Kenya Nairobi, Iran Tehran, Iraq Baghdad, Thailand Bangkok, "
        "Hungary Budapest, Canada Ottawa, Belgium Brussels, Denmark Copenhagen, Turkey Ankara, Syria Damascus, "
        "Chile Santiago, Lebanon Beirut, Jordan Amman, Nepal Kathmandu"
    ),
    "opposite": _pairs(
        "hot cold, big small, good bad, up down, left right, old new, open closed, dark light, fast slow, high low, "
        "rich poor, hard soft, early late, full empty, strong weak, wet dry, first last, true false, near far, "
        "happy sad, long short, clean dirty, day night, black white, loud quiet, thick thin, win lose, start end, "
        "buy sell, deep shallow, push pull, north south"
    ),
    "plural": _pairs(
        "cat cats, dog dogs, car cars, tree trees, book books, house houses, man men, woman women, child children, "
        "foot feet, tooth teeth, mouse mice, city cities, baby babies, box boxes, leaf leaves, knife knives, "
        "wife wives, "
        "bus buses, day days, key keys, fish fish, sheep sheep, wolf wolves, story stories, country countries, "
        "person people, glass glasses, dish dishes, hand hands, river rivers, star stars"
    ),
    "past": _pairs(
        "go went, see saw, take took, give gave, make made, come came, run ran, eat ate, write wrote, speak spoke, "
        "find found, know knew, think thought, bring brought, buy bought, sell sold, tell told, stand stood, sit sat, "
        "win won, lose lost, fall fell, grow grew, draw drew, drive drove, begin began, sing sang, swim swam, "
        "break broke, keep kept, feel felt, send sent"
    ),
    "language": _pairs(
        "France French, Italy Italian, Spain Spanish, Japan Japanese, Germany German, Russia Russian, China Chinese, "
        "Egypt Arabic, Greece Greek, Poland Polish, Portugal Portuguese, Norway Norwegian, Sweden Swedish, "
        "Finland Finnish, Cuba Spanish, Peru Spanish, Iran Persian, Iraq Arabic, Thailand Thai, Hungary Hungarian, "
        "Denmark Danish, Turkey Turkish, Brazil Portuguese, Mexico Spanish, England English, Austria German, "
        "Chile Spanish, Israel Hebrew, Vietnam Vietnamese, Ukraine Ukrainian, Argentina Spanish, Morocco Arabic"
    ),
    "next": _pairs(
        "Monday Tuesday, Tuesday Wednesday, Wednesday Thursday, Thursday Friday, Friday Saturday, Saturday Sunday, "
        "Sunday Monday, January February, February March, March April, April May, May June, June July, July August, "
        "August September, September October, October November, November December, December January, one two, "
        "two three, "
        "three four, four five, five six, six seven, seven eight, eight nine, nine ten, ten eleven, first second, "
        "second third, third fourth"
    ),
}
"""Name of the map -> its pairs, 32 of each."""
