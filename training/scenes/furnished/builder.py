# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Builder: gathers pieces, materials and lamps of one place, on a floor without overlaps.

Knows how to put things somewhere, not what they are.
"""

from dataclasses import replace

import numpy as np

from training.scenes.boxes.floor import against
from training.scenes.furnished.library import Library
from training.scenes.furnished.light import Lamp, Lamps
from training.scenes.furnished.meshes import Material, Piece, Scene, box
from training.scenes.furnished.texels import Texels

TOUCHING_M = 0.02  # things on the floor may overlap that much
GAP_M = 0.01  # between a wall and what stands at it


class Builder:
    """One place that is being furnished; area (x0, y0, x1, y1) metres."""

    def __init__(self, rng, library: Library, area, high):
        self.rng, self.library, self.high = rng, library, high
        self.area = np.array(area, float)
        self.pieces, self.lamps, self.taken, self.targets = [], [], [], []
        self.close = None
        self.materials, self.images = list(library.materials), []
        self._textures = len(library.texels.first)

    def material(self, colour=(1, 1, 1), image=None, glow=0.0) -> int:
        """The number of a new material; colour is sRGB, 0..1."""
        texture = -1
        if image is not None:
            texture = self._textures + len(self.images)
            self.images.append(image)
        linear = tuple(float(c) ** 2.2 for c in colour)
        self.materials.append(Material(linear, texture, glow))
        return len(self.materials) - 1

    def image(self, role):
        """(image, metres) of a stored image of this role, or None."""
        entries = self.library.images.get(role)
        if not entries:
            return None
        entry = entries[self.rng.integers(len(entries))]
        texels, number = self.library.texels, entry["texture"]
        start = texels.first[number, 0]
        wide, high = texels.width[number, 0], texels.height[number, 0]
        return texels.rgba[start : start + wide * high].reshape(high, wide, 4), entry["metres"]

    def thing(self, role, vary=0.11, most_faces=10_000) -> Piece | None:
        """Some model of a role, tinted and scaled a little; None where the part has none."""
        if not self.library.has(role):
            return None
        return self.model(self.library.entry(self.rng, role, most_faces), vary)

    def model(self, number, vary=0.06) -> Piece:
        """A model of the library, tinted a little, sometimes much."""
        rng = self.rng
        tint = rng.uniform(0.75, 1.15) * np.clip(rng.normal(1, vary, 3), 0.3, 1.7)
        if vary > 0.05 and rng.random() < 0.2:
            tint = tint * np.clip(rng.normal(1, 0.3, 3), 0.2, 1.6)
        return replace(self.library.piece(number), tint=tuple(tint))

    def top(self, number) -> float:
        """The height at which things can stand on a model, metres."""
        model = self.library.models[number]
        return model["top"] if model["top"] > 0 else model["size"][2]

    def free(self, low, high) -> bool:
        """Whether a rectangle of floor is inside and overlaps nothing."""
        inside = (low >= self.area[:2] - 0.01).all() and (high <= self.area[2:] + 0.01).all()
        return inside and all(
            (low >= t[2:] - TOUCHING_M).any() or (high <= t[:2] + TOUCHING_M).any()
            for t in self.taken
        )

    def keep_clear(self, x0, y0, x1, y1):
        """Nothing is put there later."""
        self.taken.append(np.array([x0, y0, x1, y1], float))

    def add(self, piece: Piece, x=0.0, y=0.0, z=0.0, yaw=0.0) -> Piece:
        """Put a piece whether there is room or not."""
        there = piece.moved(x, y, z, yaw)
        self.pieces.append(there)
        return there

    def put(self, pieces, x, y, yaw=0.0) -> bool:
        """Put pieces that belong together on the floor if there is room for the first."""
        if not pieces:
            return False
        there = [p.moved(x, y, 0, yaw) for p in pieces]
        low, high = there[0].extent()
        if not self.free(low[:2], high[:2]):
            return False
        self.keep_clear(*low[:2], *high[:2])
        self.pieces += there
        self.targets.append((low + high) / 2)
        return True

    def along_wall(self, pieces, tries=5, sides=range(4)) -> bool:
        """Put pieces with their back to some wall."""
        if not pieces:
            return False
        for _ in range(tries):
            side, share = int(self.rng.choice(list(sides))), self.rng.random()
            x, y, yaw = against(self.area, side, share)
            out = np.array([-np.sin(yaw), np.cos(yaw)]) * GAP_M
            if self.put(pieces, x + out[0], y + out[1], yaw):
                return True
        return False

    def anywhere(self, pieces, tries=6, yaw=None) -> bool:
        """Put pieces somewhere, turned at random unless yaw is given."""
        for _ in range(tries):
            x, y = self.rng.uniform(self.area[:2], self.area[2:])
            turn = self.rng.uniform(-np.pi, np.pi) if yaw is None else yaw
            if self.put(pieces, x, y, turn):
                return True
        return False

    def panel(self, x, y, wide, deep, drop=0.02):
        """A shining rectangle under the ceiling."""
        glow = self.material((1, 1, 0.97), None, 3.5)
        z = self.high - drop
        self.add(box(x - wide / 2, y - deep / 2, z - 0.02, x + wide / 2, y + deep / 2, z, glow))

    def panels(self, spots, wide, deep, power):
        """Panels at spots (x, y); neighbours give their light together, as one of six lamps."""
        for spot in spots:
            self.panel(*spot, wide, deep)
        spots = np.array(
            sorted(
                spots,
                key=lambda s: s[
                    int(np.ptp([t[1] for t in spots]) > np.ptp([t[0] for t in spots]))
                ],
            )
        )
        for group in np.array_split(spots, min(6, len(spots))):
            half = np.ptp(group, 0) / 2 + (wide / 2, deep / 2)
            self.lamp(
                (*((group.min(0) + group.max(0)) / 2), self.high - 0.1),
                (half[0], 0, 0),
                (0, half[1], 0),
                (0, 0, -1),
                np.asarray(power) * len(group),
            )

    def join(self, other: "Builder"):
        """Take over the pieces and lamps of another that shares this one's materials."""
        self.pieces += other.pieces
        self.lamps += other.lamps
        self.targets += other.targets

    def lamp(self, at, a, b, ahead, power, flat=1.0):
        """A lamp without a body."""
        self.lamps.append(Lamp(at, a, b, ahead, tuple(power), flat))

    def finished(self):
        """The scene and its lamps."""
        texels = [self.library.texels, Texels.of(self.images)]
        return Scene(self.pieces, self.materials, texels), Lamps(self.lamps)
