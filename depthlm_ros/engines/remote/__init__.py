# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""The engine on other machines: servers that speak OpenAI's protocol, vLLM above all."""
