"""Runs in the environment of llama-cpp-python, which has nothing of Personable: JSON in, JSON out.

In:  {"file": a .gguf, "conversations": [messages, ...], "reply_tokens": 40}
Out: [{"prompt_ids": [...], "reply": "..."}, ...], prompts by the chat template inside the file, replies greedy.
"""

from __future__ import annotations

import json
import os
import sys

import llama_cpp
import llama_cpp.llama_cpp as bindings

_F32 = 0  # ggml's number for the type; keys and values are float16 by default, which now and then changes a reply


def main() -> None:
    """Answers what comes on stdin."""
    task = json.load(sys.stdin)
    _without_repacking()
    llama = llama_cpp.Llama(
        task["file"],
        n_ctx=0,  # as much as the file says
        n_threads=int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        type_k=_F32,
        type_v=_F32,
        verbose=False,
    )
    answers = []
    for messages in task["conversations"]:
        llama.reset()
        said = llama.create_chat_completion(messages, temperature=0, repeat_penalty=1, max_tokens=task["reply_tokens"])
        prompt_tokens = said["usage"]["prompt_tokens"]
        answers.append(
            {
                "prompt_ids": [int(token) for token in llama.input_ids[:prompt_tokens]],
                "reply": said["choices"][0]["message"]["content"].strip(),
            }
        )
    json.dump(answers, sys.stdout)


def _without_repacking() -> None:
    """On CPUs with AMX the repacked q8_0 weights crash llama.cpp (its issue 20824); Llama has no switch for it."""
    defaults = bindings.llama_model_default_params

    def changed() -> bindings.llama_model_params:
        parameters = defaults()
        parameters.use_extra_bufts = False
        return parameters

    bindings.llama_model_default_params = changed


if __name__ == "__main__":
    main()
