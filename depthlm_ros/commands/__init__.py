# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The subcommands of depthlm, one module each: add(subparsers), and what it does.

Clients of the same functions as everybody else; nothing but reading options and printing is here.
"""
