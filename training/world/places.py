# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Rooms, corridors and streets, furnished at random, and where a camera stands in them.

Knows nothing about pictures. A place is a pure function of its random generator.
"""

from dataclasses import dataclass

import numpy as np

from . import surfaces as look
from . import things
from .solids import Part, Pose, Solids, Surface
from .surfaces import STOREY_M, Light
from .things import box, colour, plain, tube

WALL_M = 0.12
DOOR_M = (0.86, 2.05)


@dataclass(frozen=True)
class Place:
    """Solids with their surfaces and lights, the floor (x0, y0, x1, y1) to stand on and aim at."""

    kind: str
    solids: Solids
    surfaces: list[Surface]
    lights: list[Light]
    ambient: float
    stand: tuple
    aim: tuple

    @classmethod
    def of(cls, kind, parts: list[Part], lights, ambient, stand, aim) -> "Place":
        """A place made of parts."""
        return cls(kind, Solids.of(parts), [p.surface for p in parts], lights, ambient, stand, aim)


class Floor:
    """A rectangle of floor that fills with things which do not overlap."""

    def __init__(self, x0, y0, x1, y1):
        self.area = np.array([x0, y0, x1, y1], float)
        self.taken = []
        self.parts = []

    def free(self, spot, gap=0.03) -> bool:
        """Whether the rectangle (x0, y0, x1, y1) is inside and overlaps nothing."""
        spot = np.asarray(spot)
        inside = (spot[:2] >= self.area[:2] - 1e-6).all() and (spot[2:] <= self.area[2:] + 1e-6).all()
        return inside and all((spot[:2] >= t[2:] - gap).any() or (spot[2:] <= t[:2] + gap).any()
                              for t in self.taken)

    def keep_clear(self, x0, y0, x1, y1):
        """Nothing is put there later."""
        self.taken.append(np.array([x0, y0, x1, y1], float))

    def put(self, parts, x, y, yaw=0.0, z=0.0, solid=True) -> bool:
        """Put a thing at (x, y) if there is room for it."""
        there = things.placed(parts, x, y, z, yaw)
        low, high = things.extent(there)
        if solid:
            if not self.free([*low[:2], *high[:2]]):
                return False
            self.keep_clear(*low[:2], *high[:2])
        self.parts += there
        return True

    def along_wall(self, rng, parts, tries=6) -> bool:
        """Put a thing with its back to some wall."""
        for _ in range(tries):
            side, share = rng.integers(4), rng.random()
            x, y, yaw = _against(self.area, side, share)
            if self.put(things.placed(parts, 0, 0.01), x, y, yaw):
                return True
        return False

    def anywhere(self, rng, parts, tries=6, yaw=None) -> bool:
        """Put a thing somewhere, turned at random unless yaw is given."""
        for _ in range(tries):
            x, y = rng.uniform(self.area[:2], self.area[2:])
            turn = rng.uniform(-np.pi, np.pi) if yaw is None else yaw
            if self.put(parts, x, y, turn):
                return True
        return False


def _against(area, side, share):
    """A point on a side of the area and the yaw that turns a thing's back to it."""
    x0, y0, x1, y1 = area
    x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
    return [(x, y0, 0.0), (x1, y, np.pi / 2), (x, y1, np.pi), (x0, y, -np.pi / 2)][side]


@dataclass(frozen=True)
class Finish:
    """Surfaces of a room."""

    wall: Surface
    floor: Surface
    ceiling: Surface
    trim: Surface


def _finish(rng) -> Finish:
    tone = colour(rng, 0.35, 0.9, 0.4)
    kind = rng.choice([look.PLAIN, look.PLAIN, look.STRIPES, look.BRICKS, look.TILES])
    wall = Surface(int(kind), tone, tuple(np.multiply(tone, rng.uniform(.75, .95))), 0.2)
    return Finish(wall, _ground(rng), plain(rng, .75, .95, .05), plain(rng, .5, .95, .2))


def _ground(rng) -> Surface:
    if rng.random() < 0.6:
        tone = colour(rng, 0.15, 0.8, 0.4)
        return Surface(look.TILES, tone, tuple(np.multiply(tone, rng.choice([.4, .6, 1.4]))), 0.5)
    if rng.random() < 0.6:
        return things.wood(rng)
    a, b = colour(rng, .1, .6, .4), colour(rng, .1, .6, .4)
    return Surface(int(rng.choice([look.CHECKER, look.ROUGH])), a, b, 0.5)


def _wall(rng, side, area, high, finish: Finish, opening=None) -> list[Part]:
    """One wall of the area, with skirting; `opening` (from, to, height) along it is left out."""
    length = (area[2:] - area[:2])[side % 2]
    spans = [(0.0, length, 0.0, high)]
    if opening:
        start, end, top = opening
        spans = [(0.0, start, 0.0, high), (end, length, 0.0, high), (start, end, top, high)]
    parts = []
    for left, right, low, top in spans:
        x, wide = (left + right) / 2 - length / 2, right - left
        parts.append(box(x, -WALL_M / 2, low, wide, WALL_M, top - low, finish.wall))
        if low == 0:
            parts.append(box(x, 0.006, 0, wide, 0.012, 0.08, finish.trim))
    return _on_side(parts, area, side)


def _on_side(parts, area, side, share=0.5) -> list[Part]:
    """Parts made for the wall y = 0 moved to a side of the area."""
    x, y, yaw = _against(area, side, share)
    return things.placed(parts, x, y, 0, yaw)


def _door(rng, wide=DOOR_M[0]) -> list[Part]:
    """A closed door 2.05 m high with its frame and handle at 1.05 m."""
    leaf, frame, steel = things.wood(rng), plain(rng, .5, .95, .1), plain(rng, .3, .7, 0)
    if rng.random() < .5:
        leaf = plain(rng, .2, .95, .4)
    dim = leaf._replace(a=tuple(np.multiply(leaf.a, .85)))
    high = DOOR_M[1]
    return [box(0, .015, 0, wide, .03, high, leaf), box(0, .015, high, wide + .16, .05, .08, frame),
            *(box(x, .015, 0, .08, .05, high, frame) for x in (-wide / 2 - .04, wide / 2 + .04)),
            *(box(0, .018, z, wide * .65, .03, .75, dim) for z in (.2, 1.12)),
            box(wide / 2 - .12, .06, 1.03, .12, .05, .025, steel)]


def _window(rng) -> list[Part]:
    """A window whose sill is at 0.9 m, bright as the day behind it."""
    wide, high, frame = rng.uniform(.8, 1.8), rng.uniform(1.1, 1.4), plain(rng, .7, .95, .1)
    day = Surface(look.MOTTLE, (.75, .85, 1.0), (.45, .55, .45), .8, rng.uniform(.4, 1.5))
    bars = np.linspace(-wide / 2, wide / 2, 2 + int(wide > 1))
    return [box(0, .01, .9, wide, .02, high, day), box(0, .07, .86, wide + .1, .14, .04, frame),
            *(box(x, .02, .9, .06, .04, high, frame) for x in bars),
            *(box(0, .02, z, wide, .04, .06, frame) for z in (.9, .86 + high))]


def _painting(rng) -> list[Part]:
    """A picture on a wall, its middle at about 1.5 m."""
    wide, high = rng.uniform(.3, .9, 2)
    art = Surface(look.PICTURE, colour(rng, vivid=1), colour(rng, vivid=1), .5)
    low = rng.uniform(1.4, 1.6) - high / 2
    return [box(0, .012, low, wide, .024, high, plain(rng, .05, .8)),
            box(0, .015, low + .04, wide - .08, .025, high - .08, art)]


def _wall_things(rng, floor: Floor, high, sides=range(4)):
    """Doors, windows and pictures on the walls; the floor before a door stays clear."""
    used = []
    choice = [_door] + [_window] * rng.integers(0, 3) + [_painting] * rng.integers(0, 4)
    for make in choice:
        side, share = rng.choice(list(sides)), rng.uniform(.1, .9)
        length = (floor.area[2:] - floor.area[:2])[side % 2]
        parts = make(rng)
        half = things.extent(parts)[1, 0]
        place = share * length
        clash = any(s == side and abs(place - p) < half + h + .05 for s, p, h in used)
        if clash or not half < place < length - half:
            continue
        used.append((side, place, half))
        floor.parts += _on_side(parts, floor.area, side, share)
        if make is _door:
            x, y, _ = _against(floor.area, side, share)
            floor.keep_clear(x - .6, y - .6, x + .6, y + .6)


LARGE = [things.sofa, things.bed, things.wardrobe, things.chest, things.shelf, things.shelf,
         things.counter, things.fridge, things.screen, things.table, things.wardrobe]
SMALL = [things.floor_lamp, things.plant, things.chair, things.carton, things.office_chair,
         things.person, things.bin_, things.low_table]


def _dining(rng, floor: Floor):
    """A table in the room with chairs around it and trifles on it."""
    parts = things.table(rng)
    low, high = things.extent(parts)
    deep, wide = high[1], high[0]
    for _ in range(rng.integers(0, 4)):
        x, y = rng.uniform(-wide * .7, wide * .7), rng.uniform(.05, deep - .3)
        parts = parts + things.placed(things.trifle(rng), x, y, high[2], rng.uniform(-1, 1))
    make = rng.choice([things.chair, things.office_chair])
    seat = make(rng)
    for x in (-wide / 2, wide / 2) if wide > .7 else (0,):
        if rng.random() < .8:
            parts = parts + things.placed(seat, x, -rng.uniform(.3, .6), 0, rng.uniform(-.3, .3))
        if rng.random() < .7:
            y = deep + rng.uniform(.3, .6)
            parts = parts + things.placed(seat, x, y, 0, np.pi + rng.uniform(-.3, .3))
    yaw = rng.choice([0, np.pi / 2, rng.uniform(-np.pi, np.pi)], p=[.4, .3, .3])
    floor.anywhere(rng, parts, 8, yaw)


def _furnish(rng, floor: Floor, crowd: float):
    """Things along the walls, tables, small things, people and a rug."""
    size = floor.area[2:] - floor.area[:2]
    for _ in range(int(crowd * size.sum() * rng.uniform(.4, 1.1))):
        floor.along_wall(rng, rng.choice(LARGE)(rng))
    for _ in range(int(crowd * size.prod() / rng.uniform(8, 20)) + (rng.random() < .5)):
        _dining(rng, floor)
    for _ in range(int(crowd * size.prod() / rng.uniform(3, 12))):
        thing = rng.choice(SMALL)(rng)
        (floor.along_wall if rng.random() < .5 else floor.anywhere)(rng, thing)
    if rng.random() < .3 and size.min() > 2.5:
        wide, deep = rng.uniform(1.4, 2.2, 2)
        x, y = (floor.area[:2] + floor.area[2:]) / 2 + rng.uniform(-.4, .4, 2)
        floor.parts.append(box(x, y, 0, wide, deep, .01, things.cloth(rng)))


def _slabs(area, high, finish: Finish) -> list[Part]:
    """Floor and ceiling under and over the area."""
    x, y = (area[0] + area[2]) / 2, (area[1] + area[3]) / 2
    wide, deep = area[2] - area[0] + WALL_M, area[3] - area[1] + WALL_M
    return [box(x, y, -.1, wide, deep, .1, finish.floor), box(x, y, high, wide, deep, .1,
                                                              finish.ceiling)]


def _lamps(rng, area, high) -> list[Light]:
    """One lamp under the ceiling that throws shadows, sometimes a second that does not."""
    low, top = np.array(area[:2]), np.array(area[2:])
    lights = []
    for i in range(rng.integers(1, 4)):
        x, y = rng.uniform(low + .3 * (top - low), top - .3 * (top - low))
        tone = tuple(1 + np.array([.12, 0, -.15]) * rng.uniform(-.6, 1))
        shadow = 160 if i == 0 else 0
        lights.append(Light((x, y, high - .15), (x, y + 1e-3, 0), rng.uniform(.35, .9), 2.0, tone,
                            shadow, 42.0))
    return lights


def _fixtures(lights, high) -> list[Part]:
    """What the lamps look like: a shining disc at the ceiling above each."""
    glow = Surface(look.PLAIN, (1, 1, .95), (0, 0, 0), .5, 3.0)
    return [tube(*lamp.at[:2], high - .06, .35, .05, glow) for lamp in lights]


def room(rng) -> Place:
    """A room of 2.5-9 m, often with a way into a second one."""
    wide, deep = rng.uniform(2.5, 9, 2) ** rng.choice([.85, 1])
    high, finish = rng.uniform(2.4, 3.0), _finish(rng)
    floor = Floor(0, 0, wide, deep)
    side = int(rng.integers(4)) if rng.random() < .55 else None
    for wall in range(4):
        length = (wide, deep)[wall % 2]
        opening = _opening(rng, length) if wall == side else None
        floor.parts += _wall(rng, wall, floor.area, high, finish, opening)
        if opening:
            floor.parts += _beyond(rng, floor, wall, opening, high, finish)
    floor.parts += _slabs(floor.area, high, finish)
    _wall_things(rng, floor, high, [w for w in range(4) if w != side])
    _furnish(rng, floor, rng.uniform(.4, 1.6))
    lights = _lamps(rng, floor.area, high)
    parts = floor.parts + _fixtures(lights, high)
    stand = (.25, .25, wide - .25, deep - .25)
    return Place.of("room", parts, lights, rng.uniform(.1, .3), stand, tuple(floor.area))


def _opening(rng, length):
    """Where a doorway or a wide passage is cut from a wall: from, to, height."""
    wide = min(rng.choice([.9, .9, 1.6, 2.4]), length - .6)
    start = rng.uniform(.2, length - wide - .2)
    return start, start + wide, DOOR_M[1] if wide < 1 else 2.2


def _beyond(rng, floor: Floor, side, opening, high, finish: Finish) -> list[Part]:
    """The room behind an opening, in the place of the wall's own frame, and its threshold."""
    wide, deep = rng.uniform(2.5, 5), rng.uniform(1.5, 6)
    length = (floor.area[2:] - floor.area[:2])[side % 2]
    middle = (opening[0] + opening[1] - length) / 2
    other = Floor(-wide / 2, 0, wide / 2, deep)
    own = _finish(rng) if rng.random() < .6 else finish
    for wall in (1, 2, 3):
        other.parts += _wall(rng, wall, other.area, high, own)
    other.parts += _slabs(other.area, high, own)
    _wall_things(rng, other, high, [1, 2, 3])
    other.keep_clear(-.8, 0, .8, 1.0)
    _furnish(rng, other, rng.uniform(.2, .8))
    parts = things.placed(other.parts, middle, -WALL_M, 0, np.pi)
    x, y, _ = _against(floor.area, side, .5 + middle / length)
    floor.keep_clear(x - .6, y - .6, x + .6, y + .6)
    trim = [box(middle + s * (opening[1] - opening[0]) / 2, -WALL_M / 2, 0, .03, WALL_M + .04,
                opening[2], finish.trim) for s in (-1, 1)]
    sill = box(middle, -WALL_M / 2, -.1, opening[1] - opening[0], WALL_M + .02, .1, own.floor)
    return _on_side([*parts, *trim, sill], floor.area, side)


def corridor(rng) -> Place:
    """A corridor 1.2-2.6 m wide and 8-25 m long with doors on both sides."""
    wide, deep, high = rng.uniform(1.2, 2.6), rng.uniform(8, 25), rng.uniform(2.3, 3)
    finish, floor = _finish(rng), Floor(0, 0, wide, deep)
    for wall in range(4):
        floor.parts += _wall(rng, wall, floor.area, high, finish)
    floor.parts += _slabs(floor.area, high, finish)
    state = rng.integers(1 << 31)
    for side in (1, 3):
        for y in np.arange(rng.uniform(1, 3), deep - 1, rng.choice([2.5, 3.5, 5])):
            make = _door if rng.random() < .75 else _painting
            once = np.random.default_rng(state if make is _door else rng.integers(1 << 31))
            floor.parts += _on_side(make(once), floor.area, side, y / deep)
    floor.parts += _on_side((_window if rng.random() < .5 else _door)(rng), floor.area, 2)
    for _ in range(rng.integers(0, 5)):
        thing = rng.choice(SMALL + [things.shelf, things.bench])(rng)
        floor.along_wall(rng, thing)
    spots = np.arange(1.5, deep, 3.0)
    lights = [Light((wide / 2, y, high - .1), (wide / 2, y + 1e-3, 0), .55, 1.6,
                    shadow_px=128 if i == 1 else 0, focal_px=40.0)
              for i, y in enumerate(spots[:7])]
    parts = floor.parts + _fixtures(lights, high)
    stand = (.35, .3, wide - .35, deep * .4)
    aim = (0, deep * .6, wide, deep) if rng.random() < .75 else (0, 0, wide, deep)
    return Place.of("corridor", parts, lights, rng.uniform(.15, .35), stand, aim)


def street(rng) -> Place:
    """A street 22-36 m long between houses, closed by a house, with cars, people and trees."""
    road, walk = rng.uniform(5, 8), rng.uniform(1.8, 3.2)
    end, kerb = rng.uniform(22, 36), rng.uniform(.1, .15)
    floor = Floor(-road / 2 - walk, -4, road / 2 + walk, end)
    floor.parts += _street_ground(rng, road, walk, end, kerb)
    for side in (-1, 1):
        floor.parts += _houses(rng, side, road / 2 + walk, end)
    floor.parts += _house(rng, 0, end + .5, road + 2 * walk + 2, 1.0, 0)
    _parked(rng, floor, road, end)
    for make, most in ((things.person, 6), (things.tree, 4), (things.pole, 5), (things.bin_, 3),
                       (things.bench, 2)):
        for _ in range(rng.integers(0, most + 1)):
            side, y = rng.choice([-1, 1]), rng.uniform(2, end - 1)
            x = side * (road / 2 + (.15 if make in (things.tree, things.pole)
                                    else rng.uniform(.4, walk - .3)))
            turn = -side * np.pi / 2 if make is not things.person else rng.uniform(-3, 3)
            floor.put(make(rng), x, y, turn, kerb)
    x, y = rng.uniform(-30, 30), rng.uniform(-30, 20)
    sun = Light((x, y, 55), (0, 10, 0), rng.uniform(.5, 1.4), 60.0, (1, .96, .88), 224, 260.0)
    stand = (-road / 2 - walk + .5, -2, road / 2 + walk - .5, end * .45)
    aim = (-road / 2 - walk, end * .3, road / 2 + walk, end)
    return Place.of("street", floor.parts, [sun], rng.uniform(.2, .5), stand, aim)


def _street_ground(rng, road, walk, end, kerb) -> list[Part]:
    """Asphalt with dashes of 3 m every 6 m, pavements of half-metre slabs, kerb stones."""
    tar, middle, long = rng.uniform(.08, .25), (end - 6) / 2, end + 8
    asphalt = Surface(look.ROUGH, (tar,) * 3, (0, 0, 0))
    stone = colour(rng, .3, .6, .15)
    slab = Surface(look.TILES, stone, tuple(np.multiply(stone, .5)), .5)
    white, edge = plain(rng, .6, .85, 0), Surface(look.TILES, (.5,) * 3, (.2,) * 3, 1.0)
    parts = [box(0, middle, -.2, road, long, .2, asphalt)]
    parts += [box(0, y, 0, .12, 3, .003, white) for y in np.arange(0, end - 3, 6)]
    for side in (-1, 1):
        x = side * (road + walk + .6) / 2  # 0.6 m under the houses, some of which stand back
        parts.append(box(x, middle, -.2, walk + .6, long, .2 + kerb, slab))
        parts.append(box(side * (road / 2 + .06), middle, 0, .12, long, kerb + .005, edge))
    return parts


def _house(rng, x, y, wide, deep, yaw) -> list[Part]:
    """A house front 3-6 storeys high whose middle is (x, y), with a door and a plinth."""
    storeys, tone = rng.integers(3, 7), colour(rng, .2, .8, .5)
    glass = colour(rng, .04, .25, .4)
    high = storeys * STOREY_M + .6
    front = Surface(look.FACADE, tone, glass, rng.uniform(1.9, 2.8))
    plinth = plain(rng, .15, .5, .2)
    parts = [box(0, 0, 0, wide, deep, high, front), box(0, 0, 0, wide + .04, deep + .06, .5, plinth),
             box(0, 0, high, wide + .1, deep + .5, .3, plain(rng, .1, .5))]
    door = things.placed(_door(rng, .95), rng.uniform(-wide / 2 + .8, wide / 2 - .8), deep / 2)
    return things.placed(parts + door, x, y, 0, yaw)


def _houses(rng, side, edge, end) -> list[Part]:
    """Houses of 5-12 m along one side of the street."""
    parts, y = [], -5.0
    while y < end + 1:
        wide, back = rng.uniform(5, 12), rng.uniform(0, .4)
        parts += _house(rng, side * (edge + .5 + back), y + wide / 2, wide, 1.0, side * np.pi / 2)
        y += wide
    return parts


def _parked(rng, floor: Floor, road, end):
    """Cars at the kerbs and now and then one that drives."""
    for side in (-1, 1):
        y = rng.uniform(0, 8)
        while y < end - 6:
            if rng.random() < .45:
                turn = 0 if side > 0 else np.pi
                back = 0 if side > 0 else 4.5
                floor.put(things.car(rng), side * (road / 2 - 1.1), y + back, turn)
            y += rng.uniform(5, 7)
    if rng.random() < .4:
        floor.put(things.car(rng), rng.choice([-.9, .9]), rng.uniform(6, end - 6), 0)


def standing(rng, place: Place) -> Pose:
    """A camera mostly 1.2-1.6 m high, pitch -25 to 8 degrees, aimed at some point of the place."""
    high = rng.uniform(1.2, 1.6) if rng.random() < .8 else rng.uniform(.3, 1.8)
    least = min(rng.choice([.6, 1.5], p=[.3, .7]), .3 * np.hypot(*np.subtract(place.aim[2:],
                                                                            place.aim[:2])))
    for _ in range(20):
        at = rng.uniform(place.stand[:2], place.stand[2:])
        aim = rng.uniform(place.aim[:2], place.aim[2:])
        far = np.hypot(*(aim - at))
        if far > least and place.solids.gap([*at, high]).min() > .2:
            break
    pitch = rng.uniform(-25, 8) if place.kind == "room" else rng.uniform(-15, 4)
    yaw = np.arctan2(*(aim - at)[::-1])
    return Pose.looking([*at, high], yaw, np.radians(pitch), np.radians(rng.normal(0, 1.5)))


def place(rng) -> Place:
    """A room, a corridor or a street."""
    make = rng.choice([room, corridor, street], p=[.62, .13, .25])
    return make(rng)
