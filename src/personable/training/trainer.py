"""The Trainer of transformers, taught to learn replies only and to measure them token by token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler
from transformers import EvalPrediction

from personable.encoding.batches import IGNORED
from personable.encoding.likelihood import Surprise, reply_nats
from personable.training.checkpoints import SafeCheckpoints
from personable.training.data import Draw, RowOrder


class ReplyTrainer(SafeCheckpoints):
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
        """Per row: nats over its learnt tokens, shape (rows,), and their number, shape (rows,)."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), _full_precision(model):
            nats = reply_nats(model, inputs)
        learnt = inputs["rows"][:, 1:][inputs["labels"][:, 1:] != IGNORED]
        rows = int(inputs["rows"].max()) + 1
        sums = torch.zeros(rows, dtype=torch.float64).index_add_(0, learnt.cpu(), nats.cpu().double())
        if nats.device.type == "mps":  # knows no float64
            sums = sums.float()
        return None, sums.to(nats.device), learnt.bincount(minlength=rows)

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler[Draw]:
        return RowOrder(eval_dataset, shuffled=False)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[Draw]:
        assert self.train_dataset is not None
        self._order = RowOrder(self.train_dataset, shuffled=True)
        return self._order

    def _run_epoch(self, *args: Any, **named: Any) -> None:
        """Tells the order which epoch it is. Trainer and accelerate do not get through to it where a run of several
        processes is resumed within an epoch: there they wrap it four times, and look for it in three."""
        self._order.set_epoch(named["epoch"])
        super()._run_epoch(*args, **named)


@contextmanager
def _full_precision(model: Any) -> Iterator[None]:
    """Within it, a model computes in the precision of its weights, as evaluation does: perplexity moves by a quarter of
    a percent in bf16. What is taken off is the forward pass that accelerate puts over the model's own; the mixed
    precision of FSDP and DeepSpeed stays."""
    bare = model.module if hasattr(model, "module") else model
    mixed = vars(bare).pop("forward", None)
    try:
        yield
    finally:
        if mixed is not None:
            bare.forward = mixed


def _reply_metrics(prediction: EvalPrediction) -> dict[str, float]:
    surprise = Surprise(float(prediction.predictions.sum()), int(prediction.label_ids.sum()))
    return {"loss": surprise.nats / max(surprise.tokens, 1), "reply_perplexity": surprise.perplexity}
