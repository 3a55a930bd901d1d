"""`personable publish`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personable.cli.options import JsonOption
from personable.cli.screen import print_json, working

if TYPE_CHECKING:
    from personable.publishing.hub.publishing import Published, Upload


def publish(
    run: Annotated[Path, typer.Argument(help="A finished run folder.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Where to, on the Hugging Face Hub.")],
    private: Annotated[
        bool, typer.Option("--private", help="Only for you and your organisation; without it everybody can see it.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, say what would be sent, and leave; the network is not used.")
    ] = False,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="Propose the files to a repository that exists, as a pull request.")
    ] = False,
    tag: Annotated[str | None, typer.Option(help="Mark the commit, such as v1.")] = None,
    space: Annotated[
        bool, typer.Option("--space", help="Publish a page that chats with OWNER/NAME (a Space), not the weights.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for --space --dry-run. Default: NAME-space, beside the run.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a run and send it to the Hugging Face Hub in one commit, with its model card.

    Only what belongs to a run is sent: no checkpoints, no optimizer state, no pickles. Needs a token with write access
    in HF_TOKEN or from `hf auth login`; HF_ENDPOINT and HF_HUB_OFFLINE are respected.
    """
    if tag and create_pr:
        raise typer.BadParameter("a pull request has no commit to tag yet: leave out --tag or --create-pr")
    if private and create_pr:
        raise typer.BadParameter("a pull request is as visible as its repository: leave out --private or --create-pr")
    if out and not (space and dry_run):
        raise typer.BadParameter("--out says where --space --dry-run writes the page")
    with working("checking"):
        from personable.errors import PublishError
        from personable.publishing.hub.contents import typed_run
        from personable.publishing.hub.publishing import (
            NotFit,
            check_repo_id,
            endpoint_of_the_hub,
            prepare_run,
            send,
        )
        from personable.publishing.hub.space import prepare_space, write_space

        try:
            check_repo_id(repo)
        except PublishError as error:
            raise typer.BadParameter(str(error), param_hint="OWNER/NAME") from error
        try:
            upload = prepare_space(run, repo) if space else prepare_run(run, repo)
        except NotFit as error:
            if as_json:
                print_json({"problems": [_as_record(problem) for problem in error.problems]})
            raise
    plan = _plan(upload, endpoint_of_the_hub(), private=private, create_pr=create_pr, tag=tag)
    if not as_json:
        _print_plan(plan)
    if dry_run:
        beside = run.resolve().parent / f"{repo.rpartition('/')[2]}-space"
        folder = write_space(upload, out or beside) if space else None
        if as_json:
            print_json(plan | {"sent": False} | ({"folder": str(folder)} if folder else {}))
        elif folder:
            next_step = f"MODEL={typed_run(run)} python {folder / 'app.py'}"
            print(f"dry run: nothing was sent. The page is in {folder}. Next: {next_step}")
        else:
            print("dry run: nothing was sent")
        return
    done = send(upload, private=private, create_pr=create_pr, tag=tag)
    if as_json:
        print_json(plan | {"sent": True} | _as_record(done))
    else:
        _print_published(done)


def _plan(upload: Upload, endpoint: str, *, private: bool, create_pr: bool, tag: str | None) -> dict[str, Any]:
    prefix = "spaces/" if upload.repo_type == "space" else ""
    return {
        "destination": f"{endpoint}/{prefix}{upload.repo_id}",
        "repo_type": upload.repo_type,
        "private": private,
        "pull_request": create_pr,
        "tag": tag,
        "files": [{"name": file.name, "bytes": file.size} for file in upload.files],
        "bytes": upload.size,
        "left_out": list(upload.left_out),
        "local_folders_taken_out_of": [
            file.name for file in upload.files if file.shortened and upload.repo_type == "model"
        ],
    }


def _print_plan(plan: dict[str, Any]) -> None:
    files = plan["files"]
    rows = [(file["name"], file["bytes"]) for file in files] + [(f"{len(files)} files", plan["bytes"])]
    width = max(len(name) for name, _ in rows)
    for name, size in rows:
        print(f"  {name:<{width}}  {_readable(size):>9}")
    if plan["left_out"]:
        print(f"left out: {', '.join(plan['left_out'])}")
    if plan["local_folders_taken_out_of"]:
        print(f"sent with file names in place of local paths: {', '.join(plan['local_folders_taken_out_of'])}")
    print(f"to: {plan['destination']}")
    if plan["pull_request"]:
        print("as: a pull request to a repository that exists")
    elif plan["private"]:
        print("visibility: private, for you and your organisation; refused if the repository exists and is public")
    else:
        print("visibility: public, everybody can see and download it; a repository that exists keeps its own")


def _print_published(done: Published) -> None:
    if not done.changed:
        print("nothing to send: the Hub holds exactly these files")
    seen_by = "private" if done.private else "public"
    tagged = f", tag {done.tag}" if done.tag else ""
    if done.pull_request:
        print(f"proposed: {done.pull_request}")
    else:
        print(f"published ({seen_by}, commit {done.commit[:12]}{tagged}): {done.url}")
    if done.weights_url:
        print(f"weights: {done.weights_url}")


def _as_record(value: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(value)


def _readable(size: int) -> str:
    if size < 1000:
        return f"{size} B"
    number = float(size)
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if number < 1000 or unit == "GB":
            return f"{number:.1f} {unit}"
    raise AssertionError("the last unit takes everything")
