"""What lies in recipes/cluster is read by the tools it is for, as far as they are here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file

CLUSTER = Path(__file__).resolve().parents[1] / "recipes" / "cluster"
PROCESSES = {"one-node": 8, "four-nodes": 32, "fsdp": 8, "deepspeed-zero2": 8}


@pytest.mark.parametrize("name", PROCESSES)
def test_accelerate_reads_its_configurations(name: str) -> None:
    config = load_config_from_file(str(CLUSTER / f"{name}.yaml"))
    assert config.num_processes == PROCESSES[name]
    assert config.mixed_precision == "no", "the recipe decides"
    if name == "fsdp":
        assert config.fsdp_config["fsdp_version"] == 2
        assert config.fsdp_config["fsdp_cpu_ram_efficient_loading"] is False


def test_the_readme_names_every_file() -> None:
    told = (CLUSTER / "README.md").read_text(encoding="utf-8")
    files = {file.name for file in CLUSTER.iterdir() if file.is_file()} - {"README.md"}
    assert {name for name in files if f"`{name}`" in told} == files


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_scripts_are_bash() -> None:
    _, job = yaml.safe_load_all((CLUSTER / "kubernetes.yaml").read_text(encoding="utf-8"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    for script in ((CLUSTER / "slurm.sh").read_text(encoding="utf-8"), container["command"][2]):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert job["spec"]["completions"] == 4
