"""The run folder: what is in it, who may write it, what stops before it is written."""

from __future__ import annotations

import json
import logging
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM, AutoTokenizer

from personable.base import UNFINISHED, load_base
from personable.corpus import fingerprint, write_dialogues
from personable.dialogue import Dialogue, Persona, Speaker
from personable.encoding.template import GPT2_TEMPLATE
from personable.errors import BaseNotFound, DataError, MissingExtra, RecipeError, TrainingStopped
from personable.training import make_recipe, read_recipe, train
from tests.tiny import tiny_gpt2, tiny_tokenizer
from tests.training.small import TRAIN, VALIDATION, record_of, rows, same_weights, settings, small_recipe

FILES = {
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "loss.png",
    "metrics.jsonl",
    "model.safetensors",
    "recipe.yaml",
    "tensorboard",
    "tokenizer.json",
    "tokenizer_config.json",
    "training.json",
}


@pytest.fixture(scope="module")
def run(base, data, tmp_path_factory) -> Path:
    """A run of three epochs."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    generation = {"temperature": 0.6, "top_k": 20, "max_new_tokens": 30}
    train(small_recipe(base, data, folder, also={"generation": generation}, max_steps=12))
    return folder


def test_training_lowers_the_loss(run) -> None:
    losses = [row["loss"] for row in rows(run, "loss")]
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])
    perplexities = [row["eval_reply_perplexity"] for row in rows(run, "eval_reply_perplexity")]
    assert perplexities[-1] < perplexities[0] / 2


def test_a_run_holds_exactly_the_promised_files(run) -> None:
    assert {file.name for file in run.iterdir()} == FILES
    everything = [file for file in run.rglob("*") if file.is_file()]
    assert not [file for file in everything if file.suffix in {".bin", ".pt", ".pth", ".pkl", ".ckpt"}]


def test_plain_transformers_opens_a_run(run) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(run), AutoTokenizer.from_pretrained(run)
    messages = [{"role": "system", "content": "i am ada."}, {"role": "user", "content": "hello"}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert model.generate(**ids, max_new_tokens=3).shape[1] > ids["input_ids"].shape[1]
    assert (tokenizer.padding_side, tokenizer.truncation_side, tokenizer.model_max_length) == ("left", "left", 256)


def test_the_template_stands_in_both_places(run) -> None:
    in_file = (run / "chat_template.jinja").read_bytes()
    in_settings = json.loads((run / "tokenizer_config.json").read_text(encoding="utf-8"))["chat_template"]
    assert in_file == in_settings.encode() == GPT2_TEMPLATE.encode()


def test_the_configuration_serves_every_engine(run) -> None:
    config = json.loads((run / "config.json").read_text())
    assert config["n_ctx"] == config["n_positions"] == 256
    assert config["architectures"] == ["GPT2LMHeadModel"]
    assert config["use_cache"] is True
    generation = json.loads((run / "generation_config.json").read_text())
    generation.pop("transformers_version")
    assert generation == {
        "do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.0,
        "max_new_tokens": 30, "eos_token_id": 0, "pad_token_id": 0, "bos_token_id": 0,
    }  # fmt: skip


def test_what_dialogpt_left_in_its_configuration_goes(data, tmp_path) -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_gpt2(tokenizer)
    model.config.task_specific_params = {"conversational": {"max_length": 1000}}
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    assert "task_specific_params" in (tmp_path / "base" / "config.json").read_text()
    train(small_recipe(tmp_path / "base", data, tmp_path / "run", max_steps=1))
    assert "task_specific_params" not in (tmp_path / "run" / "config.json").read_text()


def test_a_run_too_short_to_log_or_evaluate_is_finished_all_the_same(base, data, tmp_path) -> None:
    recipe = small_recipe(
        base, data, tmp_path, max_steps=1, logging_steps=50, eval_strategy="no", save_strategy="no",
        eval_on_start=False, load_best_model_at_end=False,
    )  # fmt: skip
    done = train(recipe)
    assert (done.first_perplexity, done.best_perplexity) == (None, None)
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    assert load_base(tmp_path, device="cpu").spec == str(tmp_path)


def test_greedy_sampling_is_saved_without_what_it_ignores(base, data, tmp_path) -> None:
    train(small_recipe(base, data, tmp_path, also={"generation": {"temperature": 0}}, max_steps=1))
    generation = json.loads((tmp_path / "generation_config.json").read_text())
    assert generation["do_sample"] is False
    assert not {"temperature", "top_p", "top_k"} & set(generation)


def test_the_record_says_what_was_run(run, base, data) -> None:
    record = record_of(run)
    assert make_recipe(record["recipe"]) == read_recipe(run / "recipe.yaml")
    assert record["training_arguments"]["learning_rate"] == 1e-2
    assert record["training_arguments"]["lr_scheduler_type"] == "cosine", "defaults are spelled out"
    assert record["data"]["train"] == {
        "sources": [str(data / "train.jsonl")],
        "fingerprint": fingerprint(TRAIN),
        "dialogues": len(TRAIN),
        "replies": sum(len(dialogue.replies) for dialogue in TRAIN),
    }
    assert record["data"]["validation"]["fingerprint"] == fingerprint(VALIDATION)
    assert (record["steps"], record["epochs"], record["resumed_at_steps"]) == (12, 3.0, [])
    assert record["learnt_tokens"] == rows(run, "loss")[-1]["learnt_tokens"] > 0
    assert record["versions"]["torch"] == torch.__version__
    assert record["hardware"]["cores"] >= 1
    assert record["duration_seconds"] > 0
    assert record["started"].endswith("+00:00")
    assert record["parameters"] == sum(weight.numel() for weight in load_base(base, device="cpu").model.parameters())


def test_metrics_are_one_row_for_each_loss_and_evaluation(run) -> None:
    assert [row["step"] for row in rows(run, "loss")] == list(range(1, 13))
    assert [row["step"] for row in rows(run, "eval_loss")] == [0, 2, 4, 6, 8, 10, 12]
    times = [row["seconds"] for row in rows(run, "seconds")]
    assert times == sorted(times)
    assert all(row["learnt_tokens_per_second"] > 0 for row in rows(run, "loss"))


def test_tensorboard_holds_both_curves(run) -> None:
    board = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("train/loss")] == list(range(1, 13))
    assert len(board.Scalars("eval/reply_perplexity")) == 7


def test_a_finished_run_is_not_overwritten_unasked(run) -> None:
    before = (run / "model.safetensors").read_bytes()
    recipe = read_recipe(run / "recipe.yaml")
    with pytest.raises(RecipeError, match=r"holds a finished run already. Next: --overwrite"):
        train(recipe)
    with pytest.raises(RecipeError, match=r"expected an unfinished run to resume.*found a finished run"):
        train(recipe, resume=True)
    assert (run / "model.safetensors").read_bytes() == before


def test_overwriting_replaces_the_whole_run(base, data, tmp_path) -> None:
    train(small_recipe(base, data, tmp_path / "run", max_steps=1))
    (tmp_path / "run" / "evaluation.json").write_text("of the earlier weights")
    train(small_recipe(base, data, tmp_path / "run", max_steps=2), overwrite=True)
    assert {file.name for file in (tmp_path / "run").iterdir()} == FILES
    assert record_of(tmp_path / "run")["steps"] == 2


@pytest.mark.parametrize("ours_too", [False, True])
def test_files_of_others_are_never_deleted(base, data, tmp_path, ours_too: bool) -> None:
    if ours_too:
        train(small_recipe(base, data, tmp_path, max_steps=1))
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (True, False) if not ours_too else (True,):
        with pytest.raises(RecipeError, match=r"found other files.*choose another --run"):
            train(small_recipe(base, data, tmp_path), overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert (tmp_path / "model.safetensors").exists() == ours_too


def test_overwriting_with_a_recipe_that_fails_keeps_the_run(base, data, tmp_path) -> None:
    run = tmp_path / "run"
    train(small_recipe(base, data, run, max_steps=1))
    for also in (
        {"base": str(tmp_path / "no")},
        {"data": {"train": "no.jsonl"}},
        {"lora": {"target_modules": "no_such"}},
    ):
        with pytest.raises((BaseNotFound, DataError, RecipeError)):
            train(small_recipe(base, data, run, also=also), overwrite=True)
    assert {file.name for file in run.iterdir()} == FILES


def test_an_unwritable_place_is_named(base, data, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match=r"expected to be able to write the run folder .*file/run"):
        train(small_recipe(base, data, tmp_path / "file" / "run"))


def test_a_missing_training_file_is_named(base, data, tmp_path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.jsonl"):
        train(small_recipe(base, data, tmp_path / "run", also={"data": {"train": "nowhere.jsonl"}}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("part", ["train", "validation"])
def test_dialogues_without_replies_are_refused(base, data, tmp_path, part: str) -> None:
    silent = Dialogue(Persona(("i am ada.",))).then(Speaker.PARTNER, "hello")
    write_dialogues([silent], tmp_path / "silent.jsonl")
    also = {"data": settings(base, data, tmp_path)["data"] | {part: str(tmp_path / "silent.jsonl")}}
    name = {"train": "training"}.get(part, part)
    with pytest.raises(DataError, match=f"expected {name} dialogues with replies to learn, found none"):
        train(small_recipe(base, data, tmp_path / "run", also=also))
    assert not (tmp_path / "run").exists()


def test_an_unreachable_base_names_the_ways_out(data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BaseNotFound) as caught:
        train(small_recipe(Path("nobody/no-such-model"), data, tmp_path / "run"))
    for part in ("nobody/no-such-model", "Hugging Face Hub", "--base starter", "local model folder"):
        assert part in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_bundled_dialogues_can_be_sampled_and_held_out(base, tmp_path) -> None:
    few = {"train": "starter", "max_dialogues": 6, "max_validation_dialogues": 3, "validation_share": 0.2}
    parts = []
    for seed in (1, 2):
        run = tmp_path / str(seed)
        train(small_recipe(base, tmp_path, run, also={"data": few}, max_steps=1, seed=seed))
        found = record_of(run)["data"]
        assert (found["train"]["dialogues"], found["validation"]["dialogues"]) == (6, 3)
        parts.append((found["train"]["fingerprint"], found["validation"]["fingerprint"]))
    assert parts[0] != parts[1], "another seed, another sample"


def test_a_loss_that_is_no_number_stops_training(base, data, tmp_path) -> None:
    recipe = small_recipe(base, data, tmp_path / "run", learning_rate=1e30, warmup_steps=0, max_steps=6)
    with pytest.raises(TrainingStopped, match=r"finite loss, found .*(nan|inf).*training.learning_rate"):
        train(recipe)
    with pytest.raises(BaseNotFound, match="--resume"):
        load_base(tmp_path / "run")


def test_weights_that_are_no_numbers_are_not_saved_unseen(base, data, tmp_path) -> None:
    recipe = small_recipe(
        base, data, tmp_path / "run", learning_rate=1e39, warmup_steps=0, max_steps=1, logging_steps=100,
        eval_strategy="no", save_strategy="no",
    )  # fmt: skip
    with pytest.raises(TrainingStopped, match="weights that are no numbers"):
        train(recipe)
    assert (tmp_path / "run" / UNFINISHED).exists()
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_full_disk_is_explained_and_training_goes_on_after(base, data, tmp_path) -> None:
    recipe = small_recipe(base, data, tmp_path / "run")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # less than the weights take
    try:
        with pytest.raises(TrainingStopped, match=r"File too large.*make room, then .*recipe.yaml --resume"):
            train(recipe)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    train(recipe, resume=True)
    assert {file.name for file in (tmp_path / "run").iterdir()} == FILES


def test_a_metric_that_is_not_measured_is_explained(base, data, tmp_path) -> None:
    with pytest.raises(RecipeError, match="'eval_bleu', which is not found"):
        train(small_recipe(base, data, tmp_path / "run", metric_for_best_model="bleu"))


def test_arguments_that_contradict_each_other_are_explained(base, data, tmp_path) -> None:
    with pytest.raises(RecipeError, match=r"TrainingArguments refuses.*save"):
        train(small_recipe(base, data, tmp_path / "run", save_strategy="epoch"))
    assert not (tmp_path / "run").exists()


def test_learning_turns_learns_the_partners_as_well(base, data, tmp_path) -> None:
    for learn in ("replies", "turns"):
        train(small_recipe(base, data, tmp_path / learn, also={"encoding": {"learn": learn}}, max_steps=1))
    learnt = {learn: record_of(tmp_path / learn)["learnt_tokens"] for learn in ("replies", "turns")}
    assert learnt["turns"] > 1.5 * learnt["replies"]


def test_progress_says_loss_speed_and_time_left(base, data, tmp_path, capfd) -> None:
    train(small_recipe(base, data, tmp_path / "run"))
    out, err = capfd.readouterr()
    assert out == ""
    assert "step 3/4  loss " in err
    line = next(line for line in err.splitlines() if line.startswith("step 3/4"))
    assert "learnt tokens/s" in line
    assert line.endswith(" left")
    assert "step 4  validation reply perplexity " in err
    assert "Writing model shards" not in err


class TestLora:
    """Low-rank adaptation, merged at the end."""

    @pytest.mark.parametrize("checkpointing", [False, True])
    def test_a_run_has_plain_weights(self, base, data, tmp_path, checkpointing: bool) -> None:
        pytest.importorskip("peft")
        run = tmp_path / "run"
        recipe = small_recipe(
            base, data, run, also={"lora": {"r": 4, "dropout": 0.1}}, gradient_checkpointing=checkpointing, max_steps=8
        )
        train(recipe)
        assert {file.name for file in run.iterdir()} == FILES
        stored = load_file(run / "model.safetensors")
        assert stored.keys() == load_file(base / "model.safetensors").keys()
        losses = [row["loss"] for row in rows(run, "loss")]
        assert losses[-1] < losses[0]
        assert not same_weights(run, base)
        assert "peft" in record_of(run)["versions"]
        assert torch.equal(
            stored["transformer.wte.weight"], load_file(base / "model.safetensors")["transformer.wte.weight"]
        )

    def test_the_best_adapter_is_what_is_merged(self, base, data, tmp_path) -> None:
        pytest.importorskip("peft")
        from tests.training.small import measured

        done = train(
            small_recipe(
                base,
                data,
                tmp_path / "run",
                also={"lora": {"r": 8}, "early_stopping_patience": 1},
                learning_rate=0.3,
                lr_scheduler_type="constant",
                max_steps=40,
            )
        )
        evaluations = [row["eval_reply_perplexity"] for row in rows(tmp_path / "run", "eval_loss") if row["step"]]
        assert evaluations[-1] > min(evaluations)
        assert done.best_perplexity == min(evaluations)
        assert measured(tmp_path / "run", data) == pytest.approx(min(evaluations), rel=1e-4)

    def test_a_missing_peft_is_named_before_anything_is_written(self, base, data, tmp_path, monkeypatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "peft", None)
        with pytest.raises(MissingExtra, match=r"personable\[lora\]"):
            train(small_recipe(base, data, tmp_path / "run", also={"lora": {}}))
        assert not (tmp_path / "run").exists()

    def test_modules_that_are_not_there_are_quoted(self, base, data, tmp_path) -> None:
        pytest.importorskip("peft")
        with pytest.raises(RecipeError, match=r"lora.target_modules: .*query_key"):
            train(small_recipe(base, data, tmp_path / "run", also={"lora": {"target_modules": ["query_key"]}}))


def test_nothing_is_logged_about_what_a_user_cannot_mend(base, data, tmp_path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        train(small_recipe(base, data, tmp_path / "run"))
    assert caplog.text == ""
