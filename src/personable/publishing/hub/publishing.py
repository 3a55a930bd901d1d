"""A run -> the Hugging Face Hub, in one commit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from personable.errors import PublishError
from personable.publishing.hub.checks import check_run
from personable.publishing.hub.contents import PublishedFile, published_contents
from personable.publishing.hub.problem import Problem

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


class NotFit(PublishError):
    """A run that fails the checks; carries every reason."""

    def __init__(self, run: Path, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 reason" if len(problems) == 1 else f"{len(problems)} reasons"
        reasons = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{run} is not fit to be published, for {count}:\n{reasons}")


@dataclass(frozen=True, slots=True)
class Upload:
    """What is to be published, and where."""

    repo_id: str
    """owner/name."""
    repo_type: Literal["model", "space"]
    files: tuple[PublishedFile, ...]
    left_out: tuple[str, ...] = ()
    """What lies beside them and stays."""

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Published:
    """What the Hub has taken."""

    url: str
    """The page."""
    weights_url: str | None
    """Where model.safetensors lies, at this very commit; None where there is none."""
    commit: str
    """Its hash."""
    private: bool
    changed: bool
    """False where the Hub held exactly these files already."""
    pull_request: str | None = None
    tag: str | None = None


def prepare_run(run: Path, repo_id: str) -> Upload:
    """What would be published of a run. Raises NotFit with every reason against it; BaseNotFound, PublishError."""
    check_repo_id(repo_id)
    if problems := check_run(run):
        raise NotFit(run, problems)
    contents = published_contents(run)
    return Upload(repo_id, "model", contents.files, contents.left_out)


def check_repo_id(repo_id: str) -> None:
    """Raises PublishError for what cannot be the name of a repository."""
    if not _REPO_ID.fullmatch(repo_id) or "--" in repo_id or ".." in repo_id or repo_id.endswith((".git", ".", "-")):
        raise PublishError(
            f"expected OWNER/NAME of letters, digits, '-', '_' and '.', found {repo_id!r}. "
            "Next: e.g. personable publish runs/rita your-name/rita"
        )


def endpoint_of_the_hub() -> str:
    """HF_ENDPOINT, or the Hub itself."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def send(
    upload: Upload,
    *,
    private: bool = False,
    create_pr: bool = False,
    tag: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    patience: Any = None,
) -> Published:
    """Publishes in one commit: all files or none. Sent again, only what differs goes up.

    private: of a repository that is made now; one that exists keeps its visibility, and is refused if it is public
    though private was asked for.   create_pr: propose the commit instead.   tag: set on the commit afterwards.
    token: default, what HF_TOKEN or `hf auth login` gave.   patience: a `sending.Patience`.
    Raises PublishError.
    """
    from huggingface_hub import HfApi, constants

    from personable.publishing.hub.sending import OVERTAKEN, PASSING, Caller, Patience, discreet_client, offline

    if constants.is_offline_mode():
        raise offline()
    if tag and create_pr:
        raise PublishError("expected a tag or a pull request, found both: a proposal has no commit to tag yet.")
    patience = patience or Patience()
    endpoint = (endpoint or endpoint_of_the_hub()).rstrip("/")
    token = _usable_token(token)
    api = HfApi(endpoint=endpoint, token=token, library_name="personable", library_version=_version())
    caller = Caller(token, endpoint, upload.repo_id, patience)
    with discreet_client(token, patience):
        caller.call("know whose the token is", api.whoami)
        if upload.repo_type == "space":
            _check_weights(caller, api, upload.repo_id)
        _make_repository(caller, api, upload, private=private, wanted_already=create_pr)
        before = caller.call(
            f"find {upload.repo_id}", lambda: api.repo_info(upload.repo_id, repo_type=upload.repo_type)
        )
        if private and not before.private:
            raise PublishError(
                f"expected {upload.repo_id} to be private as asked, found that it exists and is public; nothing was "
                "sent. Next: make it private in its settings, choose another name, or leave out --private."
            )
        commit = caller.call(
            f"commit to {upload.repo_id}",
            lambda: _commit(api, upload, create_pr=create_pr),
            repeat_on=PASSING | OVERTAKEN if not create_pr else frozenset({429, 503}),
            # Without an answer nobody knows whether it is there. Files of a second commit would be found unchanged,
            # but a second pull request would be opened.
            repeat_when_cut=not create_pr,
        )
        if tag:
            _tag(caller, api, upload, tag, commit.oid)
    prefix = "spaces/" if upload.repo_type == "space" else ""
    url = f"{endpoint}/{prefix}{upload.repo_id}"
    weights = next((file.name for file in upload.files if file.name.endswith(".safetensors")), None)
    return Published(
        url,
        f"{url}/resolve/{commit.oid}/{weights}" if weights else None,
        commit.oid,
        private=bool(before.private),
        changed=create_pr or commit.oid != before.sha,
        pull_request=commit.pr_url,
        tag=tag,
    )


def _version() -> str | None:
    try:
        return version("personable")
    except PackageNotFoundError:  # run from its source
        return None


def _usable_token(token: str | None) -> str:
    from huggingface_hub import get_token

    token = token or get_token()
    if not token:
        raise PublishError(
            "expected a token of the Hugging Face Hub, found none. Next: make one with write access "
            "(https://huggingface.co/settings/tokens) and give it as HF_TOKEN, or with `hf auth login`."
        )
    if not re.fullmatch(r"[\x21-\x7e]+", token):  # an HTTP library would quote the whole header in its complaint
        raise PublishError(
            "expected the token to be one word of ASCII characters, found others in it (not shown). "
            "Next: copy it again into HF_TOKEN."
        )
    return token


def _check_weights(caller: Any, api: Any, repo_id: str) -> None:
    """A page without weights would only show an error."""
    if not caller.call(f"look for the model {repo_id}", lambda: api.repo_exists(repo_id, repo_type="model")):
        raise PublishError(
            f"expected the model {repo_id}, which the page talks with, found none on the Hub. "
            f"Next: personable publish RUN {repo_id}, without --space."
        )


def _make_repository(caller: Any, api: Any, upload: Upload, *, private: bool, wanted_already: bool) -> None:
    if wanted_already:
        return  # a proposal needs something that it is a proposal to
    caller.call(
        f"create {upload.repo_id}",
        lambda: api.create_repo(
            upload.repo_id,
            private=private,
            repo_type=upload.repo_type,
            space_sdk="gradio" if upload.repo_type == "space" else None,
            exist_ok=True,
        ),
    )


def _commit(api: Any, upload: Upload, *, create_pr: bool) -> Any:
    from huggingface_hub import CommitOperationAdd

    # Made anew for each try: they remember what the Hub held when they were first used.
    operations = [CommitOperationAdd(file.name, file.source) for file in upload.files]
    return api.create_commit(
        upload.repo_id,
        operations,
        commit_message="Publish with Personable",
        repo_type=upload.repo_type,
        create_pr=create_pr,
    )


def _tag(caller: Any, api: Any, upload: Upload, tag: str, commit: str) -> None:
    """Sets the tag; content where it stands on this commit already."""

    def existing() -> str | None:
        refs = api.list_repo_refs(upload.repo_id, repo_type=upload.repo_type)
        return next((each.target_commit for each in refs.tags if each.name == tag), None)

    there = caller.call("list the tags", existing)
    if there is not None and there != commit:
        raise PublishError(
            f"expected no tag {tag} on {upload.repo_id} yet, found it on commit {there[:12]}. The files are published "
            f"(commit {commit[:12]}), without a tag. Next: choose another --tag."
        )
    if there is None:
        caller.call(
            f"tag {tag}",
            # A repeated call may find the tag that an earlier one, whose answer was lost, has set.
            lambda: api.create_tag(upload.repo_id, tag=tag, revision=commit, repo_type=upload.repo_type, exist_ok=True),
        )
