# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""A hall of six planes and a box whose distances are computed and not rendered: the truth for
readers of data sets. World: x forward, y left, z up, metres. Shares no code with the readers."""

import numpy as np

WALLS = np.array(  # normal and offset, inside is normal . x < offset
    [
        [1.0, 0.25, 0.1, 21.0],  # the slanted far wall
        [-1.0, 0.0, 0.0, 14.0],
        [0.0, 1.0, 0.0, 9.0],
        [0.1, -1.0, 0.0, 11.0],
        [0.0, 0.0, 1.0, 6.0],
        [0.0, 0.0, -1.0, 0.0],
    ]
)
BOX = np.array([[8.0, -2.5, 0.0], [10.0, 1.0, 1.9]])  # two corners
# x right, y down, z forward, seen from x forward, y left, z up.
OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def reach(origin, directions):
    """(N,) metres from origin (3,) or (N, 3) along unit directions (N, 3) to what is met first."""
    origin = np.broadcast_to(origin, directions.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_walls = (WALLS[:, 3] - origin @ WALLS[:, :3].T) / (directions @ WALLS[:, :3].T)
        low, high = ((corner - origin) / directions for corner in BOX)
    enter = np.minimum(low, high).max(axis=1)
    leave = np.maximum(low, high).min(axis=1)
    to_box = np.where((enter <= leave) & (enter > 0), enter, np.inf)
    return np.minimum(np.where(to_walls > 0, to_walls, np.inf).min(axis=1), to_box)


def turn(yaw=0.0, pitch=0.0, roll=0.0):
    """(3, 3): about x by roll, then about y by pitch, then about z by yaw [rad]."""
    about = np.eye(3)
    for first, second, angle in ((1, 2, roll), (2, 0, pitch), (0, 1, yaw)):
        step = np.eye(3)
        step[first, first] = step[second, second] = np.cos(angle)
        step[second, first] = np.sin(angle)
        step[first, second] = -np.sin(angle)
        about = step @ about
    return about


def placed(rotation, position):
    """(4, 4) of a rotation (3, 3) and a position (3,)."""
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = rotation, position
    return found


def moved(pose, points):
    """Points (N, 3) by a pose (4, 4)."""
    return np.atleast_2d(points) @ pose[:3, :3].T + pose[:3, 3]


def quaternion(rotation):
    """(w, x, y, z) of a rotation (3, 3): the axis that it leaves alone, and the angle."""
    values, vectors = np.linalg.eig(rotation)
    axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    skew = [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0]]
    skew = np.array([*skew, rotation[1, 0] - rotation[0, 1]])
    angle = np.arctan2(skew @ axis, np.trace(rotation) - 1)
    return np.array([np.cos(angle / 2), *(np.sin(angle / 2) * axis)])


def photograph(metres):
    """(H, W, 3) uint8 of distances (H, W): a colour for a distance."""
    waves = [np.sin(metres * rate) for rate in (2.0, 5.0, 11.0)]
    return (127 + 120 * np.stack(waves, axis=2)).astype(np.uint8)


def brown(xy, k1, k2, p1=0.0, p2=0.0, k3=0.0):
    """(N, 2) normalised coordinates behind a lens with OpenCV's five coefficients."""
    x, y = xy.T
    r2 = x**2 + y**2
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2)
    v = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y
    return np.stack([u, v], axis=1)


def before(bend, bent):
    """The inverse of a bend, by repetition."""
    found = bent.copy()
    for _ in range(200):
        found = found + 0.3 * (bent - bend(found))
    assert np.abs(bend(found) - bent).max() < 1e-10
    return found


def grid(width, height):
    """(H * W, 2) pixels, row by row."""
    v, u = np.mgrid[:height, :width]
    return np.stack([u.ravel(), v.ravel()], axis=1).astype(float)


def scan(sensor, columns=120, rows=24, up=0.45, down=-0.55):
    """(N, 3) world points that a lidar at a pose (4, 4) meets all around."""
    around, above = np.meshgrid(
        np.linspace(-np.pi, np.pi, columns, endpoint=False), np.linspace(up, down, rows)
    )
    flat = [np.cos(around) * np.cos(above), np.sin(around) * np.cos(above), np.sin(above)]
    directions = np.stack([one.ravel() for one in flat], axis=1) @ sensor[:3, :3].T
    eye = sensor[:3, 3]
    return eye + reach(eye, directions)[:, None] * directions


def with_twins(points, eye):
    """Points (N, 3), and for every fourth a second one behind it on the ray from eye, before the
    first one in the list or after it."""
    twins = eye + 1.1 * (points - eye)
    return np.concatenate([twins[::8], points, twins[4::8]])


def car(seconds):
    """(4, 4): a car that drives a bend on uneven ground, in the world, at a time."""
    turned = turn(0.1 + 0.5 * seconds, 0.02 - 0.3 * seconds, 0.015 + 0.2 * seconds)
    return placed(turned, (-4 + 9 * seconds, 0.5 + 2 * seconds, 0.3))


def far_from_home(pose):
    """A pose moved to where cities lie in their maps, kilometres from the origin."""
    return placed(pose[:3, :3], pose[:3, 3] + (1843.2, -716.8, 12.8))


def pinhole(points, fx, fy, cx, cy, skew=0.0):
    """(N, 2) pixels of points (N, 3)."""
    x, y, z = points.T
    return np.stack([fx * x / z + skew * y / z + cx, fy * y / z + cy], axis=1)


def remove(pattern):
    """damage(folder): takes the files of a pattern out of a data set."""

    def damage(folder):
        for path in folder.glob(pattern):
            path.unlink()

    return damage
