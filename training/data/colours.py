# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The same scene in another light through another camera: colours change and no distance does.

A small model takes the look of its renderer for the look of distance; each example in another look
leaves it only what they share. Knows nothing about examples.
"""

import cv2
import numpy as np

GREY = np.array([0.299, 0.587, 0.114], np.float32)
UNSTEADY = 0.2  # share of images that are strongly blurred
FARTHEST = 0.06  # of the width: how far a moved camera smears a point


def another_look(image, rng) -> np.ndarray:
    """(H, W, 3) uint8 of one: contrast, light and shade, exposure, white balance, colour,
    sharpness, seldom an unsteady camera, and noise as rng draws them."""
    levels = (np.arange(256, dtype=np.float32) / 255) ** np.float32(rng.uniform(0.7, 1.4))
    gains = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
    colour = rng.uniform(0, 1.5)
    mix = (colour * np.eye(3) + (1 - colour) * GREY) * gains
    light = cv2.transform(cv2.LUT(image, levels), mix.astype(np.float32))
    light = _focused(light, rng) * _shade(image.shape[:2], rng)
    if rng.random() < UNSTEADY:
        light = _moved(light, rng) if rng.random() < 0.5 else _unfocused(light, rng)
    grain = rng.standard_normal(image.shape[:2], np.float32) * np.float32(rng.uniform(0, 0.02))
    light += cv2.merge([grain] * 3)
    return cv2.convertScaleAbs(np.maximum(light, 0, out=light), alpha=255)


def _focused(light, rng) -> np.ndarray:
    """Blurred (amount below zero) or sharpened."""
    amount = rng.uniform(-0.9, 1.5)
    blurred = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.6, 1.5))
    return cv2.addWeighted(light, 1 + amount, blurred, -amount, 0)


def _moved(light, rng) -> np.ndarray:
    """Smeared along a line, as a robot that turns or drives sees it."""
    half = max(round(rng.uniform(0.01, FARTHEST) * light.shape[1] / 2), 1)
    turn = rng.uniform(0, np.pi)
    x, y = (round(float(half * share)) for share in (np.cos(turn), np.sin(turn)))
    line = np.zeros((2 * half + 1,) * 2, np.float32)
    cv2.line(line, (half - x, half - y), (half + x, half + y), 1.0)
    return cv2.filter2D(light, -1, line / line.sum(), borderType=cv2.BORDER_REPLICATE)


def _unfocused(light, rng) -> np.ndarray:
    """Far out of focus."""
    return cv2.GaussianBlur(light, (0, 0), rng.uniform(0.005, FARTHEST / 3) * light.shape[1])


def _shade(shape, rng) -> np.ndarray:
    """(H, W, 3): lighter and darker regions, about one on average; in half of the draws none."""
    spread = max(rng.uniform(-0.3, 0.3), 0)
    knots = np.exp(rng.normal(0, spread, (3, 4, 1)) + rng.normal(0, spread / 4, (3, 4, 3)))
    shade = cv2.resize(knots.astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(shade, 0.2, 3, out=shade)
