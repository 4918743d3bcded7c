# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What a model is good for, told from its category, its name and its size.

A model may have several roles. Knows nothing about rooms.
"""

import re
from typing import NamedTuple

from training.scenes.assets.scans import CATEGORY as SCANS


class Role(NamedTuple):
    """Patterns of the category and of the lower-case name, lowest and highest height (m)."""

    name: str
    category: str
    words: str
    low: float
    high: float

    def fits(self, model: dict) -> bool:
        """Whether a row of models.json has this role."""
        return bool(
            re.search(self.category, model["category"])
            and self.low <= model["size"][2] <= self.high
            and re.search(self.words, model["name"].lower())
        )


_TABLE = r"^(?!.*(bedside|dressing|tablet)).*(table|island)"
_CHAIR = r"^(?!.*(arm|baby|deck|beach)).*(chair|stool)"
_STORAGE = (
    r"wardrobe|bookcase|cupboard|cabinet|shelves|dresser|chest\b|box|tv stand|television"
    r"|filing|contemporary|safe|dressing table|changing"
)
_BY_WALL = (
    r"piano|aquarium|fireplace|water cooler|white board|clothes rack|furnace|radiator"
    r"|trunck|suitcase|speaker|dustbin|crate|christmas|flipper|screen|clothes horse"
    r"|extinguisher"
)
_COUNTER = r"^(?!.*(corner|upper|island)).*(lower cabinet|drawers cabinet|sink)"
_MACHINE = r"washer|washing|dryer|stove|cooker|dishwasher"
_BATH = r"bath|shower|toilet|bidet|washbasin|vanity|urinal|basket|lavatory"
_PLANT = r"plant|ficus|yucca|bush|spath|bamboo|cypress|lily"
_SMALL_PLANT = r"plant|flower|orchid|tulip|lily|cactus|bonsai|bamboo|spath|vase"
_CEILING = r"ceiling|hanging|pendant|lamp$|fluorescent|track|chandelier"
_ON_WALL = (
    r"switch|intercom|clock|dart|hanger|wall|plug|socket|sign|calendar"
    r"|air conditioning.*int|heater"
)
_INDUSTRY = (
    r"barrel|crate|box|pallet|container|workbench|fork lift|ladder|mower|furnace|locker"
    r"|wheelbarrow|fence|treadmill|bench|tennis$|pool table|football table|fitness"
    r"|indoor bike|motorbike|bicycle|bike|yamaha|scooter|trash|cone|punching|horse"
)
_SPORT = (
    r"pool table|football table|table tennis$|treadmill|bike|fitness|abdominal|punching"
    r"|flipper"
)
_VEHICLE = r"focus|peugeot|scenic|suv|seat|smart|van|beetle|sedan|chevrolet|truck"
_GADGET = (
    r"laptop|ibook|printer|phone|letter|keyboard|stereo|radio|speaker|fan|lamp|mp3"
    r"|station"
)

ROLES = [
    Role(*row)
    for row in (
        ("desk", "Office|Living", r"desk|table", 0.6, 0.9),
        ("table", "Living|Office|Kitchen", _TABLE, 0.65, 1.1),
        ("low_table", "Living|Exterior", r"table|trunck", 0.3, 0.6),
        ("office_chair", "Office", r"chair|seat", 0.6, 1.3),
        ("chair", "Living|Office|Kitchen", _CHAIR, 0.4, 1.25),
        ("armchair", "Living|Office", r"armchair|puff|futon", 0.5, 1.2),
        ("sofa", "Living|Bedroom|Exterior", r"sofa|couch|day bed", 0.5, 1.2),
        ("bed", "Bedroom", r"\bbed\b|mezzanine", 0.3, 2.0),
        ("bedside", "Bedroom|Living", r"bedside|stool|shelves", 0.35, 0.6),
        ("storage", "Bedroom|Living|Office|Miscellaneous", _STORAGE, 0.5, 2.4),
        ("by_wall", "Living|Office|Miscellaneous|Bedroom", _BY_WALL, 0.3, 2.2),
        ("counter", "Kitchen", _COUNTER, 0.7, 1.25),
        ("machine", "Kitchen", _MACHINE, 0.55, 0.95),
        ("tall_kitchen", "Kitchen", r"fridge|refrigerator|high cabinet", 1.2, 2.3),
        ("upper", "Kitchen", r"upper cabinet|glass door|upper shelves|range hood", 0.4, 0.95),
        ("bath", "Bathroom", _BATH, 0.3, 2.4),
        ("plant", "Living|Exterior", _PLANT, 0.6, 2.4),
        ("small_plant", "Living", _SMALL_PLANT, 0.1, 0.68),
        ("floor_lamp", "Lights", r"lamp|uplight", 1.0, 2.0),
        ("table_lamp", "Lights", r"lamp|candle|lantern", 0.12, 0.8),
        ("ceiling_lamp", "Lights", _CEILING, 0.03, 1.3),
        ("person", "Characters", r"^(?!.*(lying|sitting)).*(male|female|boy|girl)", 1.4, 2.0),
        ("sitting", "Characters", r"sitting", 0.7, 1.5),
        ("animal", "Characters", r"dog|cat|rabbit", 0.2, 0.8),
        ("rug", "Living|Bathroom|Miscellaneous", r"rug|carpet|tatami|doormat|bathmat", 0, 0.07),
        ("door", "Doors", r"^(?!.*(frame|garage|elevator|window)).*door", 1.9, 2.2),
        ("gate", "Doors", r"garage|elevator door", 1.9, 2.6),
        ("window", "Doors", r"window", 0.4, 2.4),
        ("curtain", "Miscellaneous|Bathroom", r"curtain|blind", 0.8, 2.4),
        ("radiator", "Miscellaneous|Bathroom", r"radiator", 0.4, 1.6),
        ("on_wall", "Miscellaneous|Living|Lights|Office", _ON_WALL, 0.02, 1.2),
        ("industry", "Miscellaneous|Vehicles|Exterior", _INDUSTRY, 0.1, 2.7),
        ("sport", "Miscellaneous", _SPORT, 0.5, 2.2),
        ("vehicle", "Vehicles", _VEHICLE, 1.1, 3.6),
        ("carton", "Miscellaneous", r"box|crate|barrel|suitcase|basket|pallet|trunck", 0.1, 0.95),
        ("screen", "Living|Office", r"^tv|imac|flat tv", 0.3, 0.85),
        ("gadget", "Office|Living|Miscellaneous", _GADGET, 0.02, 0.6),
        ("scan", SCANS, "", 0, 0.6),
    )
]
_NOT_INDOORS = "Exterior|Vehicles|Staircases"
_NOT_SMALL = (
    r"door|window|switch|plug|socket|radiator|spotlight|light source|rug|carpet|hood"
    r"|railing"
)


def is_small(model: dict) -> bool:
    """What may lie on a table or a shelf: at most 0.55 m, thicker than paper, indoors."""
    wide, deep, high = model["size"]
    return (
        max(wide, deep) < 0.55
        and 0.015 < high < 0.6
        and model["elevation"] == 0
        and model["movable"]
        and model["category"] != SCANS  # other worlds are the same with and without them
        and not re.search(_NOT_INDOORS, model["category"])
        and not re.search(_NOT_SMALL, model["name"].lower())
    )
