# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""What every trainer is told in transformers' words, and how a step is shared out.

Knows nothing about what is learnt.
"""

from pathlib import Path

from torch.cuda import is_available

from depthlm_ros.errors import InputError
from training import runs


def shared(config, whole, processes=1) -> dict:
    """Arguments common to a config of training.sft and one of training.grpo.

    whole: samples of a step over all processes. InputError where they come out uneven.
    """
    micro = config.micro_batch or whole // processes
    return {
        "output_dir": str(Path(config.out) / runs.STEPS),
        "max_steps": config.steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": accumulation(whole, micro, processes),
        "max_grad_norm": config.clip,
        "logging_steps": config.log_every,
        "save_strategy": "steps",
        "save_steps": config.save_every,
        "report_to": ["tensorboard"],
        "remove_unused_columns": False,
        "seed": config.seed,
        "bf16": config.bf16,  # autocast over float32 weights
        "use_cpu": not is_available(),
        "activation_checkpointing": config.activation_checkpointing,
    }


def accumulation(whole, micro, processes) -> int:
    """How many micro batches each process adds up."""
    if micro < 1 or whole % (micro * processes):
        raise InputError(
            f"a step of {whole} is not a multiple of micro_batch {micro} x {processes} processes,"
            " so it could not be shared out evenly"
        )
    return whole // (micro * processes)


def on_one_gpu(arguments):
    """TrainingArguments by which a process computes on its own GPU, however many it sees.

    transformers would copy the model to all of them and cut each tensor of a batch along its first
    axis, which in positions is not the pictures'. Several GPUs are several processes (torchrun).
    """
    found = arguments.device  # whoever looks for it counts the GPUs
    arguments._n_gpu = int(found.type == "cuda")
    return arguments
