# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Bytes as a broken disk, a cut cable or an attacker leaves them."""

import numpy as np


def mutated(content: bytes, draw: np.random.Generator) -> bytes:
    """Bytes overwritten, cut out, doubled or cut off, in up to five places."""
    mutant = bytearray(content)
    for _ in range(draw.integers(1, 6)):
        at = int(draw.integers(0, max(len(mutant), 1)))
        match draw.integers(0, 4):
            case 0:
                mutant[at : at + 1] = bytes([draw.integers(0, 256)])
            case 1:
                del mutant[at : at + int(draw.integers(1, 9))]
            case 2:
                mutant[at:at] = mutant[at : at + int(draw.integers(1, 9))]
            case 3 if draw.integers(0, 4) == 0:
                del mutant[at:]
    return bytes(mutant)
