# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""Training of a small Qwen3-VL model by the clock on one GPU, while the processor renders for it.

Same model, questions, answers and losses as training.sft, which is for any model and exact
resumption; here every step is made of tensors on the device: images are cut, recoloured and
labelled there, and a batch has one size, so that nothing waits for Python.
"""
