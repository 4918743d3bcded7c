# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""trl's GRPOTrainer with items read in order and checkpoints that can be trusted.

A checkpoint is a complete model folder in the layout of its base, marked complete last. Knows
nothing about where data or models come from.
"""

from pathlib import Path

from accelerate.utils import gather_object
from trl import GRPOConfig, GRPOTrainer

from training.data.mixture import SkipCounts
from training.run import run_folder
from training.run.export import write_model
from training.run.guard import Guard
from training.run.trainer import on_one_gpu, shared

METHOD = {
    "beta": 0.0,  # no KL: with it the model underfits and rambles (DepthLM, appendix)
    "loss_type": "grpo",  # trl's own default is dapo
    "scale_rewards": "group",
    "shuffle_dataset": False,  # item i is a pure function of (seed, i)
    "lr_scheduler_type": "constant",
    "log_multimodal": False,
    "gradient_checkpointing": False,  # activation_checkpointing's old name, which trl turns on
}


def group_arguments(config, processes=1) -> GRPOConfig:
    """The config in trl's words; InputError where the replies cannot be shared out evenly."""
    arguments = GRPOConfig(
        **shared(config, config.batch * config.group, processes),
        **METHOD,
        num_generations=config.group,
        max_completion_length=config.longest,
        temperature=config.temperature,
        reward_weights=[float(weight) for weight in config.rewards.values()],
        learning_rate=config.lr,
    )
    return on_one_gpu(arguments)


class GroupTrainer(GRPOTrainer):
    """config, base: of the run. rollouts: what is asked. after_save(folder, step, skipped):
    called on the first process once a checkpoint is complete."""

    def __init__(self, config, base, rollouts, after_save, **stock):
        super().__init__(train_dataset=rollouts.dataset(), **stock)
        self.config, self.base, self.rollouts = config, base, rollouts
        self.after_save = after_save
        self.guard = Guard(config.spike)
        self.counts = SkipCounts()

    def create_model_card(self, *_, **__):
        """None: the shipped folder gets ours."""

    def _generate(self, *given):
        """In the numbers that the replies are trained in; trl would see in float32."""
        with self.accelerator.autocast():
            return super()._generate(*given)

    def _clip_grad_norm(self, model):
        norm = super()._clip_grad_norm(model)
        step, pictures = self.state.global_step, self.config.batch
        asked = range(step * pictures, (step + 1) * pictures)
        self.guard.saw([self.rollouts.where[n] for n in asked if n in self.rollouts.where])
        self.guard.check(float(norm), step)
        return norm

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        """Nothing: the model was made of the checkpoint's weights."""

    def _save(self, output_dir=None, state_dict=None):
        if self.args.should_save:
            model = self.accelerator.unwrap_model(self.model)
            write_model(model, state_dict or model.state_dict(), Path(output_dir), self.base)
            self.config.row(output_dir).write(output_dir)

    def _save_checkpoint(self, model, trial):
        super()._save_checkpoint(model, trial)
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        self._count()
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            run_folder.write_json(folder / run_folder.COUNTS, self.counts.state())
            run_folder.mark_complete(folder)
            self.after_save(folder, self.state.global_step, self.counts.state())
        self.accelerator.wait_for_everyone()

    def _count(self):
        """Count what was skipped on the way to the items of the finished steps, on all ranks."""
        done = self.state.global_step * self.config.batch
        mine = [(n, s) for n, s in self.rollouts.skipped.items() if n < done]
        self.rollouts.forget(done)
        for _, skips in sorted(dict(gather_object(mine)).items()):
            self.counts.add(skips)
