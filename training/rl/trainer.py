# Copyright 2026 the depthlm_ros authors. SPDX-License-Identifier: Apache-2.0
"""trl's GRPOTrainer with items read in order; a checkpoint has the layout of its base."""

from pathlib import Path

from accelerate.utils import gather_object
from trl import GRPOConfig, GRPOTrainer

from depthlm_ros.errors import DepthLMError
from training.run.export import write_model
from training.run.trainer import RunTrainer, on_one_gpu, shared

METHOD = {
    "beta": 0.0,  # no KL: with it the model underfits and rambles (DepthLM, appendix)
    "loss_type": "grpo",  # trl's own default is dapo
    "scale_rewards": "group",
    "shuffle_dataset": False,  # item i is a pure function of (seed, i)
    "lr_scheduler_type": "constant",
    "log_multimodal": False,
    "gradient_checkpointing": False,  # activation_checkpointing's old name, which trl turns on
}


def group_arguments(config, processes: int = 1) -> GRPOConfig:
    """A GrpoConfig in trl's words; InputError where the replies cannot be shared out evenly."""
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


class GroupTrainer(RunTrainer, GRPOTrainer):
    """config: a GrpoConfig. rollouts: what is asked. The rest as in RunTrainer."""

    def __init__(self, config, run, rollouts, **stock):
        super().__init__(config, run, train_dataset=rollouts.dataset(), **stock)
        self.rollouts = rollouts

    def write_step(self, folder: Path, state: dict) -> None:
        """The model; see RunTrainer."""
        write_model(self.accelerator.unwrap_model(self.model), state, folder, self.run.base)

    def all_counts(self) -> dict:
        """See RunTrainer."""
        self._count()
        return self.counts.state()

    def log(self, logs, *further):
        """With what was skipped so far; every process logs."""
        self._count()
        super().log(logs, *further)

    def create_model_card(self, *_, **__):
        """None: the shipped folder gets ours."""

    def _generate(self, *given):
        """In the numbers that the replies are trained in; trl would see in float32. DepthLMError
        where weights have overflowed, of which torch makes no class of its own."""
        try:
            with self.accelerator.autocast():
                return super()._generate(*given)
        except RuntimeError as error:
            if "probability tensor" not in str(error):
                raise
            raise DepthLMError(
                f"no reply can be drawn after step {self.state.global_step}: what the model says"
                " is no number any more. A lower lr is another run: give it another --out, and"
                " this run's folder as --base where it has a checkpoint"
            ) from error

    def _clip_grad_norm(self, model):
        step, images = self.state.global_step, self.config.batch
        asked = range(step * images, (step + 1) * images)
        self.guard.saw([self.rollouts.where[n] for n in asked if n in self.rollouts.where])
        return super()._clip_grad_norm(model)

    def _count(self):
        """Count what was skipped on the way to the items of the finished steps, on all ranks."""
        done = self.state.global_step * self.config.batch
        mine = {n: skips for n, skips in self.rollouts.skipped.items() if n < done}
        self.rollouts.forget(done)
        every = dict(gather_object(list(mine.items())))  # ranks may share an item
        self.counts.add([skip for _, skips in sorted(every.items()) for skip in skips], len(every))
        self.counts.check(self.config.bad_share)
