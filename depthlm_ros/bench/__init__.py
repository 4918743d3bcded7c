# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Engines side by side: models of random weights at true shapes, questions on a clock, a report.

Knows nothing about the command line. Whatever needs torch imports it inside its functions.
"""
