# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Configs of training that end soon."""

from dataclasses import replace


def shortened(config, steps, **changes):
    """The SftConfig with every stage cut to `steps`, and with these entries changed."""
    return replace(config, stages=[replace(s, steps=steps) for s in config.stages], **changes)
