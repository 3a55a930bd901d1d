"""The ways of fine-tuning that Personable is compared with: transformers' Trainer, and TRL."""

from __future__ import annotations

import tempfile
from typing import Any

import datasets
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.pytorch_utils import Conv1D

from fine_tuning.examples import ReplyExamples, batches_by_step, replies_of, shuffled_batches
from fine_tuning.job import ROW_TOKENS, Job, Variant
from fine_tuning.watches import Counted
from personable.base import load_base, load_tokenizer
from personable.encoding.batches import IGNORED, pad_id_of

REPLIES_PER_DIALOGUE = 7.4
"""Of ConvAI2."""
TRL_ROWS_PER_BATCH = {"cpu": 1, "cuda": 4}
"""TRL lays the rows of a micro-batch end to end under one mask of all their tokens, so more rows cost more each."""


def learn(job: Job, first: datasets.Dataset, later: datasets.Dataset, watch: TrainerCallback) -> Counted:
    """Fine-tunes as the job says, with `watch` looking on; the learnt tokens of each micro-batch come back."""
    set_seed(job.seed)
    way = _with_trl if job.variant.needs_peers else _classic
    with tempfile.TemporaryDirectory(prefix="fine-tuning-") as folder:
        trainer = way(job, first, later, folder)
        counted = Counted(trainer.data_collator)
        trainer.data_collator = counted
        trainer.add_callback(watch)
        trainer.train()
    return counted


def _classic(job: Job, first: datasets.Dataset, later: datasets.Dataset, folder: str) -> Trainer:
    model = _model(job)
    dialogues = [*first, *later]
    replies = list(replies_of(dialogues))
    if job.marks:
        per_step = max(round(job.dialogues_per_step * REPLIES_PER_DIALOGUE / job.replies_per_batch), 1)
        batches = shuffled_batches(replies, job.replies_per_batch, seed=job.seed)
    else:
        batches, per_step = batches_by_step(replies, job.dialogues_per_step, job.replies_per_batch)
    padded = job.padded_tokens if job.variant is Variant.CLASSIC else None
    arguments = TrainingArguments(
        per_device_train_batch_size=1,  # an item of the dataset is a micro-batch
        gradient_accumulation_steps=per_step,
        remove_unused_columns=False,
        bf16=job.computes_bf16,
        **_arguments(job, folder),
    )
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=ReplyExamples(dialogues, batches, pad_id_of(load_tokenizer(job.base)), padded),
        data_collator=_only_one,
    )


def _only_one(features: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    (batch,) = features
    return batch


def _with_trl(job: Job, first: datasets.Dataset, later: datasets.Dataset, folder: str) -> Trainer:
    from trl import SFTConfig, SFTTrainer

    if job.variant is not Variant.TRL_DEFAULTS:
        rows = min(TRL_ROWS_PER_BATCH[job.device], job.rows_per_step)
        chosen: dict[str, Any] = {
            "packing": True,
            "bf16": job.computes_bf16,
            "gradient_checkpointing": False,
        }
        chosen |= {"per_device_train_batch_size": rows, "gradient_accumulation_steps": job.rows_per_step // rows}
    else:
        chosen = {"per_device_train_batch_size": job.dialogues_per_step, "gradient_accumulation_steps": 1}
    model = _model(job)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(max_length=ROW_TOKENS, **chosen, **_arguments(job, folder)),
        train_dataset=_labelled(later),
        processing_class=load_tokenizer(job.base),
    )
    if len(first):
        trainer.train_dataset = datasets.concatenate_datasets([_trl_rows(first, trainer.args), trainer.train_dataset])
    return trainer


def _trl_rows(dialogues: datasets.Dataset, arguments: Any) -> datasets.Dataset:
    """Prepared as SFTTrainer prepares its data, but by themselves, so that they make up the first step."""
    from trl import pack_dataset

    labelled = _labelled(dialogues)
    return pack_dataset(labelled, ROW_TOKENS, arguments.packing_strategy) if arguments.packing else labelled


def _labelled(dialogues: datasets.Dataset) -> datasets.Dataset:
    def labels(dialogue: dict[str, Any]) -> dict[str, Any]:
        pairs = zip(dialogue["input_ids"], dialogue["learn_mask"], strict=True)
        return {"labels": [token if learnt else IGNORED for token, learnt in pairs]}

    return dialogues.map(labels, remove_columns=["learn_mask"])


def _arguments(job: Job, folder: str) -> dict[str, Any]:
    """What all variants have in common."""
    return {
        "output_dir": folder,
        "max_steps": 10**6 if job.marks else 1 + job.steps,
        "learning_rate": job.learning_rate,
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": job.warmup_steps,
        "optim": "adamw_torch_fused",
        "max_grad_norm": 1.0,
        "train_sampling_strategy": "random" if job.marks else "sequential",
        "logging_steps": 10 if job.marks else 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "seed": job.seed,
        "use_cpu": job.device == "cpu",
        "dataloader_pin_memory": job.device == "cuda",
    }


def _model(job: Job) -> Any:
    base = load_base(job.base, device="cpu")
    for module in base.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = job.dropout
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = job.dropout
    return with_lora(base.model) if job.lora else base.model


def with_lora(model: Any) -> Any:
    """The model with the adapters that a recipe's `lora: {}` gives it."""
    from peft import LoraConfig, get_peft_model

    transposed = any(isinstance(module, Conv1D) for module in model.modules())
    config = LoraConfig(
        r=16,
        lora_alpha=32,
        lora_dropout=0.0,
        target_modules="all-linear",
        fan_in_fan_out=transposed,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)
