"""The Trainer of transformers, taught to learn replies only and to measure them token by token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler
from transformers import EvalPrediction, Trainer
from transformers.trainer import TRAINING_ARGS_NAME

from personable.encoding.batches import IGNORED
from personable.encoding.likelihood import Surprise, reply_nats
from personable.training.data import EpochOrder


class ReplyTrainer(Trainer):  # type: ignore[misc]  # transformers ships no types
    """Loss: nats summed over the learnt tokens of the whole optimiser batch, divided by their number."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, compute_metrics=_reply_metrics, **kwargs)
        # Makes Trainer count the learnt tokens of all micro-batches and hand the number to compute_loss.
        self.model_accepts_loss_kwargs = True

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor | int | None:
        """Learnt tokens of the optimiser batch over all processes, added to `state.num_input_tokens_seen`: checkpoints
        keep that, so the count goes on in a resumed run."""
        learnt: Tensor | int | None = super()._get_num_items_in_batch(batch_samples, device)
        if learnt is not None:
            self.state.num_input_tokens_seen += int(torch.as_tensor(learnt).flatten()[0])  # one number for each GPU
        return learnt

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Mean nats per learnt token, this micro-batch's share of the optimiser batch."""
        nats = reply_nats(model, inputs)
        loss = nats.sum() / (num_items_in_batch if num_items_in_batch is not None else max(nats.numel(), 1))
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            # DDP averages gradients over processes, and the count above is already over all of them.
            loss = loss * self.accelerator.num_processes
        return (loss, {"loss": loss}) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[None, Tensor, Tensor]:
        """Per dialogue: nats over its learnt tokens, shape (dialogues,), and their number, shape (dialogues,)."""
        inputs = self._prepare_inputs(inputs)
        with torch.inference_mode(), self.compute_loss_context_manager():
            nats = reply_nats(model, inputs)
        learnt = inputs["labels"][:, 1:] != IGNORED
        rows = learnt.nonzero()[:, 0]
        sums = torch.zeros(len(learnt), dtype=torch.float64, device=nats.device).index_add_(0, rows, nats.double())
        return None, sums, learnt.sum(dim=1)

    def _get_eval_sampler(self, eval_dataset: Any) -> None:
        """In order, each dialogue once; like lengths side by side would save little and make results move."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        assert self.train_dataset is not None
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        seed = self.args.data_seed if self.args.data_seed is not None else self.args.seed
        return EpochOrder(self.train_dataset, self.args.train_sampling_strategy, batch_size=batch, seed=seed)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        # A pickle that nothing reads: the settings are in recipe.yaml.
        (Path(output_dir or self.args.output_dir) / TRAINING_ARGS_NAME).unlink(missing_ok=True)


def _reply_metrics(prediction: EvalPrediction) -> dict[str, float]:
    surprise = Surprise(float(prediction.predictions.sum()), int(prediction.label_ids.sum()))
    return {"loss": surprise.nats / max(surprise.tokens, 1), "reply_perplexity": surprise.perplexity}
