"""What is known for sure about the bases and data sets that runs are made from: licence, origin, how to cite.

Each licence comes with who states it. Whatever is not listed here is unknown, and a recipe may state it
(`licence`, `base_licence`, `data.licence`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from personable import smollm2
from personable.corpus.hub import is_hub_id


@dataclass(frozen=True, slots=True)
class DataLineage:
    """A data set."""

    name: str
    licence: str
    """An identifier of the Hub; empty where its publisher states none."""
    stated_by: str
    """Who states the licence, or what was found where none is stated."""
    hub_id: str = ""
    about: str = ""
    """One sentence on what it is."""
    citations: tuple[str, ...] = ()
    """Keys of CITATIONS."""


@dataclass(frozen=True, slots=True)
class BaseLineage:
    """A model that runs start from."""

    name: str
    licence: str
    stated_by: str
    architecture: str
    pretraining: str
    why: str
    """What speaks for it as a base, as far as that is a fact about it."""
    caution: str
    """What its pre-training means for replies."""
    hub_id: str = ""
    tag: str = ""
    citations: tuple[str, ...] = ()


def base_lineage(spec: str) -> BaseLineage | None:
    """What is known about the base of a run, by its spec in the recipe."""
    return _BASES.get(spec.casefold())


def data_lineage(source: str) -> DataLineage | None:
    """What is known about a data source of a recipe: by Hub id, else by the name of the published file."""
    if source == "starter":
        return _BUNDLED
    name = source.partition(":")[0]
    if is_hub_id(source) and name.casefold() in _HUB_SETS:
        return _HUB_SETS[name.casefold()]
    file = last_name(source)
    return next((found for pattern, found in _FILES if re.fullmatch(pattern + r"(\.(xz|gz))?", file)), None)


def last_name(path: str) -> str:
    """The last part of a path of any system: nobody else's folders belong on a card."""
    windows = "\\" in path and "/" not in path
    return (PureWindowsPath(path) if windows else PurePosixPath(path)).name or path


def hub_licence(stated: str) -> dict[str, str]:
    """The licence as the metadata of a card: one of the Hub's identifiers, else `other` with a name."""
    identifier = stated.strip().casefold().replace(" ", "-")
    if identifier in HUB_LICENCES:
        return {"license": identifier}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.+_]+", "-", identifier).strip("-") or "other"}


_BUNDLED = DataLineage(
    "the dialogues bundled with Personable",
    "apache-2.0",
    "Personable, whose licence covers them",
    about="Written for six invented characters.",
)
_CONVAI2 = DataLineage(
    "ConvAI2 (PersonaChat)",
    "cc-by-4.0",
    "README and LICENSE of ParlAI's task convai2",
    about="Conversations of crowd workers, each playing a given persona.",
    citations=("zhang2018personalizing", "dinan2019convai2"),
)
_SYNTHETIC = DataLineage(
    "Synthetic-Persona-Chat",
    "cc-by-4.0",
    "its data set card and README",
    hub_id="google/Synthetic-Persona-Chat",
    about="Conversations that a language model wrote for pairs of personas.",
    citations=("jandaghi2023faithful",),
)
_HUB_SETS = {
    "google/synthetic-persona-chat": _SYNTHETIC,
    "nazlicanto/persona-based-chat": DataLineage(
        "persona-based-chat",
        "cc",
        "its data set card, which does not say which Creative Commons licence",
        hub_id="nazlicanto/persona-based-chat",
        about="Rows of persona, dialogue and reply, made from Synthetic-Persona-Chat (cc-by-4.0) according to the card "
        "of Kkordik/persona-based-chat-messages.",
        citations=("jandaghi2023faithful",),
    ),
    "kkordik/persona-based-chat-messages": DataLineage(
        "persona-based-chat-messages",
        "cc-by-4.0",
        "its data set card",
        hub_id="Kkordik/persona-based-chat-messages",
        about="nazlicanto/persona-based-chat as chat messages, made from Synthetic-Persona-Chat.",
        citations=("jandaghi2023faithful",),
    ),
    "cynaptics/persona-chat": DataLineage(
        "persona-chat of Cynaptics",
        "",
        "its data set card names none",
        hub_id="Cynaptics/persona-chat",
        about="Rows of persona, dialogue and reply.",
    ),
}
_FILES = (
    (r"(train|valid)_(self|other|both|none)_(original|revised)(_no_cands)?\.txt", _CONVAI2),
    (r"Synthetic-Persona-Chat_(train|valid|test)\.csv|New-Persona-New-Conversations\.csv", _SYNTHETIC),
    (
        r"self_dialogue_corpus\.jsonl",
        DataLineage(
            "Self-dialogue corpus", "bsd-3-clause", "its repository's LICENSE", citations=("fainberg2018self",)
        ),
    ),
    (
        r"topical_chat\w*\.jsonl",
        DataLineage(
            "Topical-Chat", "cdla-sharing-1.0", "its repository's DATALICENSE", citations=("gopalakrishnan2019topical",)
        ),
    ),
    (
        r"wizard_of_wikipedia\w*\.jsonl",
        DataLineage("Wizard of Wikipedia", "cc-by-4.0", "README of ParlAI's task", citations=("dinan2019wizard",)),
    ),
    (
        r"wizard_of_internet\w*\.jsonl",
        DataLineage(
            "Wizard of the Internet", "cc-by-4.0", "licence documentation of ParlAI's task", citations=("komeili2022",)
        ),
    ),
)


def _dialogpt(size: str, layers: int, width: str, heads: int) -> BaseLineage:
    return BaseLineage(
        f"DialoGPT-{size}",
        "mit",
        "its model card and the LICENSE of its repository",
        architecture=f"GPT-2: a decoder-only transformer with {layers} layers, width {width}, {heads} attention heads, "
        "1,024 learnt positions and GPT-2's byte-level BPE vocabulary of 50,257 tokens.",
        pretraining="GPT-2 was trained on web pages; DialoGPT then on 147 million exchanges from Reddit comment chains "
        "of 2005 to 2017 (Zhang et al. 2020).",
        why="It was pre-trained on conversation, so taking turns need not be learnt from the persona dialogues; the "
        "GPT-2 architecture is read by transformers, vLLM and llama.cpp alike.",
        caution="Its pre-training text is Reddit. Opinions, rudeness and untruths from there can come back in replies; "
        "its authors warn of offensive ones.",
        hub_id=f"microsoft/DialoGPT-{size}",
        tag="dialogpt",
        citations=("zhang2020dialogpt",),
    )


_SMOLLM2 = BaseLineage(
    "SmolLM2-135M-Instruct",
    "apache-2.0",
    "its model card",
    architecture="Llama: a decoder-only transformer with 30 layers, width 576, 9 attention heads that share 3 heads of "
    "keys and values, rotary positions up to 8,192 and a vocabulary of 49,152 tokens.",
    pretraining="Pre-trained on 2 trillion tokens, among them FineWeb-Edu, DCLM and The Stack; then supervised "
    "fine-tuning on instructions and preference training on UltraFeedback, according to its model card.",
    why="It already follows a system message and is small enough to be fine-tuned on a CPU.",
    caution="It was trained on web pages and synthetic instructions. What was wrong or biased there can come back in "
    "replies, said with confidence.",
    hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    citations=("allal2025smollm2",),
)
_STARTER = BaseLineage(
    "the starter bundled with Personable",
    "apache-2.0",
    "its model card in Personable; its vocabulary is GPT-2's, under MIT",
    architecture="GPT-2: a decoder-only transformer with 6 layers, width 256, 4 attention heads, 1,024 learnt "
    "positions and GPT-2's byte-level BPE vocabulary of 50,257 tokens.",
    pretraining="Trained from scratch by Personable's recipes starter-general and starter on about one million learnt "
    "tokens of dialogue: Self-dialogue corpus (BSD-3-Clause), Topical-Chat (CDLA-Sharing-1.0), Wizard of Wikipedia, "
    "Wizard of the Internet, ConvAI2 and Synthetic-Persona-Chat (each CC-BY-4.0). Its token embeddings were derived "
    "from those of SmolLM2-135M-Instruct (Apache-2.0).",
    why="It comes with Personable, needs no network and trains in minutes on a CPU.",
    caution="It saw far too little text to be a good chatbot: expect short, common phrases that often miss the point.",
    citations=(
        "fainberg2018self",
        "gopalakrishnan2019topical",
        "dinan2019wizard",
        "komeili2022",
        "zhang2018personalizing",
        "dinan2019convai2",
        "jandaghi2023faithful",
    ),
)
_BASES = {
    "starter": _STARTER,
    smollm2.SPEC: _SMOLLM2,
    "huggingfacetb/smollm2-135m-instruct": _SMOLLM2,
    "microsoft/dialogpt-small": _dialogpt("small", 12, "768", 12),
    "microsoft/dialogpt-medium": _dialogpt("medium", 24, "1,024", 16),
    "microsoft/dialogpt-large": _dialogpt("large", 36, "1,280", 20),
}

HUB_LICENCES = frozenset(
    {
        "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m",
        "bigscience-bloom-rail-1.0", "bigcode-openrail-m", "openrail++", "afl-3.0", "artistic-2.0", "bsl-1.0",
        "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0",
        "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0",
        "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0",
        "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2",
        "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "h-research",
        "intel-research", "lppl-1.3c", "ms-pl", "apple-ascl", "apple-amlr", "mpl-2.0", "odc-by", "odbl",
        "osl-3.0", "postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib", "pddl", "lgpl-lr",
        "deepfloyd-if-license", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "gemma",
        "unknown", "other",
    }
)  # fmt: skip
"""What the Hub accepts as `license`: https://huggingface.co/docs/hub/repositories-licenses."""

CITATIONS = {
    "zhang2020dialogpt": """@inproceedings{zhang2020dialogpt,
  title = {{DialoGPT}: Large-Scale Generative Pre-training for Conversational Response Generation},
  author = {Zhang, Yizhe and Sun, Siqi and Galley, Michel and Chen, Yen-Chun and Brockett, Chris and Gao, Xiang and
    Gao, Jianfeng and Liu, Jingjing and Dolan, Bill},
  booktitle = {ACL, System Demonstrations},
  year = {2020},
  eprint = {1911.00536},
}""",
    "allal2025smollm2": """@misc{allal2025smollm2,
  title = {{SmolLM2}: When Smol Goes Big -- Data-Centric Training of a Small Language Model},
  author = {Ben Allal, Loubna and Lozhkov, Anton and Bakouch, Elie and others},
  year = {2025},
  eprint = {2502.02737},
}""",
    "zhang2018personalizing": """@inproceedings{zhang2018personalizing,
  title = {Personalizing Dialogue Agents: I have a dog, do you have pets too?},
  author = {Zhang, Saizheng and Dinan, Emily and Urbanek, Jack and Szlam, Arthur and Kiela, Douwe and Weston, Jason},
  booktitle = {ACL},
  year = {2018},
  eprint = {1801.07243},
}""",
    "dinan2019convai2": """@misc{dinan2019convai2,
  title = {The Second Conversational Intelligence Challenge ({ConvAI2})},
  author = {Dinan, Emily and Logacheva, Varvara and Malykh, Valentin and others},
  year = {2019},
  eprint = {1902.00098},
}""",
    "jandaghi2023faithful": """@misc{jandaghi2023faithful,
  title = {Faithful Persona-based Conversational Dataset Generation with Large Language Models},
  author = {Jandaghi, Pegah and Sheng, XiangHai and Bai, Xinyi and Pujara, Jay and Sidahmed, Hakim},
  year = {2023},
  eprint = {2312.10007},
}""",
    "fainberg2018self": """@misc{fainberg2018self,
  title = {Talking to myself: self-dialogues as data for conversational agents},
  author = {Fainberg, Joachim and others},
  year = {2018},
  eprint = {1809.06641},
}""",
    "gopalakrishnan2019topical": """@inproceedings{gopalakrishnan2019topical,
  title = {{Topical-Chat}: Towards Knowledge-Grounded Open-Domain Conversations},
  author = {Gopalakrishnan, Karthik and others},
  booktitle = {Interspeech},
  year = {2019},
}""",
    "dinan2019wizard": """@inproceedings{dinan2019wizard,
  title = {{Wizard of Wikipedia}: Knowledge-Powered Conversational Agents},
  author = {Dinan, Emily and others},
  booktitle = {ICLR},
  year = {2019},
  eprint = {1811.01241},
}""",
    "komeili2022": """@inproceedings{komeili2022,
  title = {Internet-Augmented Dialogue Generation},
  author = {Komeili, Mojtaba and Shuster, Kurt and Weston, Jason},
  booktitle = {ACL},
  year = {2022},
  eprint = {2107.07566},
}""",
    "hu2021lora": """@misc{hu2021lora,
  title = {{LoRA}: Low-Rank Adaptation of Large Language Models},
  author = {Hu, Edward J. and others},
  year = {2021},
  eprint = {2106.09685},
}""",
}
"""BibTeX, by key."""
