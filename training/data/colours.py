# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The same scene in another light through another camera: colours change and no distance does.

A small model takes the look of its renderer for the look of distance; each example in another look
leaves it only what they share. Knows nothing about examples.
"""

import cv2
import numpy as np

GREY = np.array([0.299, 0.587, 0.114], np.float32)


def another_look(image, rng) -> np.ndarray:
    """(H, W, 3) uint8 of one: contrast, light and shade, exposure, white balance, colour,
    sharpness and noise as rng draws them."""
    levels = (np.arange(256, dtype=np.float32) / 255) ** np.float32(rng.uniform(0.7, 1.4))
    gains = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
    colour = rng.uniform(0, 1.5)
    mix = (colour * np.eye(3) + (1 - colour) * GREY) * gains
    light = cv2.transform(cv2.LUT(image, levels), mix.astype(np.float32))
    light = _focused(light, rng) * _shade(image.shape[:2], rng)
    grain = rng.standard_normal(image.shape[:2], np.float32) * np.float32(rng.uniform(0, 0.02))
    light += cv2.merge([grain] * 3)
    return cv2.convertScaleAbs(np.maximum(light, 0, out=light), alpha=255)


def _focused(light, rng) -> np.ndarray:
    """Blurred (amount below zero) or sharpened."""
    amount = rng.uniform(-0.9, 1.5)
    blurred = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.6, 1.5))
    return cv2.addWeighted(light, 1 + amount, blurred, -amount, 0)


def _shade(shape, rng) -> np.ndarray:
    """(H, W, 3): lighter and darker regions, about one on average; in half of the draws none."""
    spread = max(rng.uniform(-0.3, 0.3), 0)
    knots = np.exp(rng.normal(0, spread, (3, 4, 1)) + rng.normal(0, spread / 4, (3, 4, 3)))
    shade = cv2.resize(knots.astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(shade, 0.2, 3, out=shade)
