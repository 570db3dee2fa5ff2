"""Policies and terms taken up again while serving: whole or not at all, and a failure is seen."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ahalab.errors import UserError
from ahalab.guard.history import RetractedReplies
from ahalab.guard.policy import Policy
from ahalab.guard.records import Delta, Review
from ahalab.guard.reload import Controls
from guard_control import BAD, STANDARDS, Scripted, ask, run

TERMS = {
    "category": "made-up",
    "en": ["zorbom"],
    "tests": {"flags": ["a zorbom"], "passes": ["nothing at all"]},
}


def make_files(folder: Path) -> tuple[Path, Path]:
    policy, terms = folder / "mine.yaml", folder / "terms"
    policy.write_text(yaml.safe_dump({"name": "mine", "standards": STANDARDS, "sample_unflagged": 0.0}))
    terms.mkdir()
    (terms / "made.yaml").write_text(yaml.safe_dump(TERMS))
    return policy, terms


def make_controls(policy: Path, terms: Path, made: list[Policy] | None = None, **more: object) -> Controls:
    def reviewer(one: Policy) -> Scripted:
        if made is not None:
            made.append(one)
        return Scripted(BAD)

    return Controls([str(policy)], reviewer, RetractedReplies(b"a secret of the tests"), terms=terms, **more)  # type: ignore[arg-type]


def flags(controls: Controls, text: str) -> bool:
    return asyncio.run(controls.get("mine").check(ask(text))).flagged


def change(path: Path, **changes: object) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes, allow_unicode=True))


def test_good_terms_and_policies_are_taken_up(tmp_path: Path) -> None:
    policy, terms = make_files(tmp_path)
    controls = make_controls(policy, terms)
    before = controls.status()["policies"]["mine"]
    assert not flags(controls, "a gnarf")
    change(terms / "made.yaml", en=["zorbom", "gnarf"])
    change(policy, mode="shadow")
    assert asyncio.run(controls.reload())
    assert flags(controls, "a gnarf")
    after = controls.status()["policies"]["mine"]
    assert after["version"] != before["version"]
    assert after["terms_sha256"] != before["terms_sha256"]
    assert controls.get().mode == "shadow"
    assert controls.get(mode="enforce").mode == "enforce"


def _no_yaml(_: Path, terms: Path) -> None:
    (terms / "made.yaml").write_text("category: [")


def _fails_its_test(_: Path, terms: Path) -> None:
    change(terms / "made.yaml", en=["other"])


def _binary(_: Path, terms: Path) -> None:
    (terms / "made.yaml").write_bytes(b"\xff\xfe\x00")


def _no_terms(_: Path, terms: Path) -> None:
    shutil.rmtree(terms)


def _no_policy(policy: Path, _: Path) -> None:
    policy.unlink()


def _unknown_key(policy: Path, _: Path) -> None:
    change(policy, on_eror="allow")


def _renamed(policy: Path, _: Path) -> None:
    change(policy, name="other")


def _half_broken(policy: Path, terms: Path) -> None:
    """Good terms beside a broken policy: nothing of the pair may be taken up."""
    change(terms / "made.yaml", en=["zorbom", "gnarf"])
    change(policy, streaming="perhaps")


@pytest.mark.parametrize(
    "breaking",
    [_no_yaml, _fails_its_test, _binary, _no_terms, _no_policy, _unknown_key, _renamed, _half_broken],
)
def test_a_broken_file_replaces_nothing_and_is_seen(
    tmp_path: Path, breaking: Callable[[Path, Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    policy, terms = make_files(tmp_path)
    controls = make_controls(policy, terms)
    before = controls.status()["policies"]
    breaking(policy, terms)
    with caplog.at_level(logging.ERROR):
        assert not asyncio.run(controls.reload())
    assert "stay as they were" in caplog.text
    status = controls.status()
    assert status["policies"] == before
    assert status["failed_reloads"] == 1
    assert status["error"]
    assert flags(controls, "a zorbom")
    assert not flags(controls, "a gnarf")


def test_a_mended_file_clears_the_failure(tmp_path: Path) -> None:
    policy, terms = make_files(tmp_path)
    controls = make_controls(policy, terms)
    good = policy.read_text()
    policy.write_text("name: [")
    asyncio.run(controls.reload())
    policy.write_text(good)
    assert asyncio.run(controls.reload())
    assert controls.status()["error"] == ""


def test_a_reviewer_that_cannot_be_made_keeps_the_old_policy(tmp_path: Path) -> None:
    policy, terms = make_files(tmp_path)
    made: list[Policy] = []
    controls = make_controls(policy, terms, made)
    change(terms / "made.yaml", allow=["photo zorbom"])
    assert asyncio.run(controls.reload())
    assert len(made) == 1  # the same policy keeps its reviewer

    def refuses(_: Policy) -> Scripted:
        raise UserError("no such model")

    controls._make_reviewer = refuses
    change(policy, on_error="allow")
    assert not asyncio.run(controls.reload())
    assert controls.get("mine").policy.on_error == "retract"
    assert "no such model" in controls.status()["error"]


def test_a_file_that_is_still_being_written_is_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, terms = make_files(tmp_path)
    controls = make_controls(policy, terms)
    signatures = iter([(("a", 1, 1, 1),), (("a", 1, 2, 2),)])
    with monkeypatch.context() as patch:
        patch.setattr(controls, "_signed", lambda: next(signatures))
        change(terms / "made.yaml", en=["zorbom", "gnarf"])
        assert not asyncio.run(controls.reload())
    assert not flags(controls, "a gnarf")


def test_files_are_followed_and_a_change_counts_once_it_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, terms = make_files(tmp_path)
    controls = make_controls(policy, terms)
    quiet = controls._signature
    looks = [(("x", 1, 1, 1),), (("x", 1, 2, 2),), (("x", 1, 2, 2),), (("x", 1, 2, 2),)]
    reloads: list[int] = []

    async def reload() -> bool:
        reloads.append(len(looks))
        controls._signature = (("x", 1, 2, 2),)
        return True

    async def story() -> None:
        following = asyncio.ensure_future(controls.follow(0.0))
        while looks:
            await asyncio.sleep(0.001)
        following.cancel()

    monkeypatch.setattr(controls, "_signed", lambda: looks.pop(0) if looks else (("x", 1, 2, 2),))
    monkeypatch.setattr(controls, "reload", reload)
    assert quiet
    asyncio.run(story())
    assert reloads == [1]  # not at the first sight of a change, nor at the first of the next one; once


def test_an_exchange_under_way_ends_under_the_policy_it_began_with(tmp_path: Path) -> None:
    policy, terms = make_files(tmp_path)
    controls = make_controls(policy, terms)

    async def story() -> None:
        control = controls.get("mine")
        exchange = ask("a zorbom")
        await control.admit(exchange)
        watch = control.watch(exchange)
        change(policy, mode="shadow")
        assert await controls.reload()
        sent = watch.feed(Delta(content="words"))
        _, decision = await watch.finish()
        assert sent == []
        assert decision.action == "retract"
        assert decision.policy == control.policy.version != controls.get("mine").policy.version

    asyncio.run(story())


def test_budgets_counts_and_retractions_outlive_a_reload(tmp_path: Path) -> None:
    policy, terms = make_files(tmp_path)
    change(policy, budget={"reviews_per_minute": 1})
    controls = make_controls(policy, terms, clock=lambda: 0.0)
    run(controls.get("mine"), ask("a zorbom"), Delta(content="a reply that goes away again, all of it"))
    change(policy, description="new")
    assert asyncio.run(controls.reload())
    _, decision = run(controls.get("mine"), ask("a zorbom"), Delta(content="a reply"))
    assert decision.review is not None
    assert decision.review.error == "budget"
    assert controls.snapshot()["mine"]["exchanges"][""] == 2
    assert controls.status()["retractions_remembered"] > 0


def test_policies_are_known_by_name_and_each_only_once(tmp_path: Path) -> None:
    policy, terms = make_files(tmp_path)
    controls = Controls(
        ["general", str(policy)],
        lambda _: Scripted(),
        RetractedReplies(b"a secret of the tests"),
        terms_of={"mine": terms},
    )
    assert controls.names == ("general", "mine")
    assert controls.get().policy.name == "general"
    assert flags(controls, "a zorbom")
    with pytest.raises(KeyError):
        controls.get("nobody")
    for wrong in ([str(policy), str(policy)], []):
        with pytest.raises(UserError):
            Controls(wrong, lambda _: None, RetractedReplies(b"a secret of the tests"), terms=terms)
    with pytest.raises(UserError, match="not served"):
        Controls(["paper"], lambda _: None, RetractedReplies(b"a secret of the tests"), terms_of={"x": terms})


class Closable(Scripted):
    """Counts how often it is closed."""

    def __init__(self, *script: Review, breaks: bool = False) -> None:
        super().__init__(*script)
        self.closed, self.breaks = 0, breaks

    async def aclose(self) -> None:
        self.closed += 1
        if self.breaks:
            raise OSError("made to fail")


def closable_controls(policy: Path, terms: Path, made: list[Closable], **more: bool) -> Controls:
    def reviewer(_: Policy) -> Closable:
        made.append(Closable(BAD, **more))
        return made[-1]

    return Controls([str(policy)], reviewer, RetractedReplies(b"a secret of the tests"), terms=terms)


def test_a_replaced_reviewer_is_closed_once_nobody_can_ask_it_any_more(tmp_path: Path) -> None:
    policy, terms = make_files(tmp_path)
    made: list[Closable] = []
    controls = closable_controls(policy, terms, made)

    async def under_way() -> None:
        control = controls.get()
        exchange = ask("a zorbom")
        await control.admit(exchange)
        watch = control.watch(exchange)
        change(terms / "made.yaml", allow=["photo zorbom"])  # other terms, the same reviewer
        assert await controls.reload()
        change(policy, description="new")
        assert await controls.reload()
        assert len(made) == 2
        assert made[0].closed == 0  # this exchange has not been reviewed yet
        _, decision = await watch.finish()
        assert decision.review is not None
        assert not decision.review.error

    async def story() -> None:
        await under_way()
        change(policy, description="newer")
        assert await controls.reload()
        assert [one.closed for one in made] == [1, 1, 0]
        await controls.aclose()
        await controls.aclose()
        assert [one.closed for one in made] == [1, 1, 1]
        assert not await controls.reload()  # nothing is opened behind it
        assert len(made) == 3

    asyncio.run(story())


def test_following_the_files_closes_what_is_not_used_any_more(tmp_path: Path) -> None:
    policy, terms = make_files(tmp_path)
    made: list[Closable] = []
    controls = closable_controls(policy, terms, made)

    async def story() -> None:
        held = controls.get()
        change(policy, description="new")
        assert await controls.reload()
        assert made[0].closed == 0
        del held
        following = asyncio.ensure_future(controls.follow(0.001))
        while not made[0].closed:
            await asyncio.sleep(0.001)
        following.cancel()
        assert made[1].closed == 0

    asyncio.run(story())


def test_reviewers_of_a_reload_that_fails_are_closed_and_those_that_serve_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, terms = make_files(tmp_path)
    made: list[Closable] = []
    controls = closable_controls(policy, terms, made)
    change(policy, description="new")
    looks = iter([(("x", 1, 1, 1),), (("x", 1, 1, 2),)])  # the files change while they are read
    with monkeypatch.context() as patch:
        patch.setattr(controls, "_signed", lambda: next(looks))
        assert not asyncio.run(controls.reload())
    assert [one.closed for one in made] == [0, 1]
    assert flags(controls, "a zorbom")


def test_a_reviewer_that_cannot_be_closed_keeps_no_other_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy, terms = make_files(tmp_path)
    other = tmp_path / "other.yaml"
    other.write_text(policy.read_text())
    change(other, name="other")
    made: list[Closable] = []

    def reviewer(_: Policy) -> Closable:
        made.append(Closable(BAD, breaks=True))
        return made[-1]

    history = RetractedReplies(b"a secret of the tests")
    controls = Controls([str(policy), str(other)], reviewer, history, terms=terms)
    asyncio.run(controls.aclose())
    assert [one.closed for one in made] == [1, 1]
    assert caplog.text.count("could not be closed") == 2


def test_a_terms_folder_that_is_gone_for_a_moment_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, terms = make_files(tmp_path)
    controls = make_controls(policy, terms)
    before = controls._signed()

    def gone(_: Path) -> Iterator[Path]:
        raise FileNotFoundError(2, "made to fail")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", gone)  # removed between two looks at it
        assert controls._signed() != before
        assert not asyncio.run(controls.reload())
    assert flags(controls, "a zorbom")
    assert asyncio.run(controls.reload())
    shutil.rmtree(terms)
    assert not asyncio.run(controls.reload())
    assert "no term files" in controls.status()["error"]
    assert flags(controls, "a zorbom")
