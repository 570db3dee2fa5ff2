"""A local checkpoint behind the gateway: many clients in one batch, none at another's expense."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving_tools import Served

from ahalab.errors import UserError
from ahalab.guard.records import Delta, Exchange, Turn
from ahalab.policy.load import load_policy
from ahalab.rollout.continuous import ContinuousBatch, Row
from ahalab.rollout.embedded import EmbeddedEngine
from ahalab.rollout.engine import PromptTokens, Sampling
from ahalab.serving import local
from ahalab.serving.errors import Refusal
from ahalab.serving.local import LocalModel, LocalSettings, reply_key
from ahalab.serving.local_engine import EngineLimits, LocalEngine, Reply
from ahalab.serving.local_prompt import harmless, special_words
from ahalab.stages.converse import Speaker

SETTINGS = LocalSettings(threads=1, max_tokens=60)


@pytest.fixture(scope="module")
def model() -> Iterator[LocalModel]:
    made = LocalModel("builtin:tiny", SETTINGS)
    yield made
    asyncio.run(made.aclose())


def exchange(*said: str | Turn, key: str = "k") -> Exchange:
    turns = tuple(one if isinstance(one, Turn) else Turn("user", one) for one in said)
    return Exchange("x", key, turns, "m", True)


async def whole(model: LocalModel, question: str | Exchange, **options: Any) -> tuple[str, str, Delta]:
    asked = exchange(question) if isinstance(question, str) else question
    content, thinking, last = "", "", Delta()
    async for delta in model.answer(asked, options):
        content, thinking, last = content + delta.content, thinking + delta.thinking, delta
    return thinking, content, last


def refused(model: LocalModel, question: str | Exchange, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        asyncio.run(whole(model, question, **options))
    return caught.value


def test_replies_in_company_are_those_of_the_plain_engine_alone(model: LocalModel) -> None:
    questions = [f"What is {at} + {at * 3 % 17}?" for at in range(20)]
    settings = [{"temperature": 0.0}, {"temperature": 1.0, "top_p": 1.0}, {"top_p": 0.5}, {}]

    async def all_at_once() -> list[tuple[str, str, Delta]]:
        return await asyncio.gather(
            *(whole(model, q, seed=at, **settings[at % 4]) for at, q in enumerate(questions))
        )

    together = asyncio.run(all_at_once())
    policy = load_policy("builtin:tiny")
    engine = EmbeddedEngine(policy.decoder, max_rows=1)
    same = 0
    for at, question in enumerate(questions):
        ids = model._prompts.ids((Turn("user", question),))
        chosen = {"temperature": 0.6, "top_p": 0.95, **settings[at % 4]}
        sampling = Sampling(60, stop_ids=model._renderer.stop_ids, **chosen)
        # The engine makes its keys itself: here it is given the one that the server made.
        tokens = plain(engine, ids, sampling, reply_key(at, ids))
        text = model._renderer.decode(tokens)
        response = model._renderer.parse(text, "stop")
        thinking, content, last = together[at]
        assert last.tokens_in == len(ids)
        if response.well_formed:
            same += (thinking, content) == (response.thinking, response.answer)
        else:
            same += content.replace("\n", "") in text
    assert same >= 19  # promise 2: a uniform next to a boundary may decide otherwise


def plain(engine: EmbeddedEngine, ids: tuple[int, ...], sampling: Sampling, key: int) -> tuple[int, ...]:
    """One row by itself through the batch of training."""
    from ahalab.rollout import embedded

    run = embedded._Run(
        engine.decoder, 1, [PromptTokens("p", ids)], 1, sampling, embedded.RolloutKey(0, "s", 0)
    )
    original = embedded.row_key
    embedded.row_key = lambda *_: key
    try:
        samples = []
        while run.unfinished:
            samples += run.step()
    finally:
        embedded.row_key = original
    return samples[0].token_ids


def test_the_same_seed_gives_the_same_reply_and_none_gives_others(model: LocalModel) -> None:
    async def twice(**options: Any) -> list[str]:
        return [
            (await whole(model, "What is 12 + 9?", temperature=1.5, top_p=1.0, **options))[0]
            for _ in range(4)
        ]

    assert len(set(asyncio.run(twice(seed=7)))) == 1
    assert len(set(asyncio.run(twice()))) > 1
    assert asyncio.run(twice(seed=7)) != asyncio.run(twice(seed=8))


def test_max_tokens_ends_with_length_and_counts(model: LocalModel) -> None:
    _, _, last = asyncio.run(whole(model, "What is 1 + 2?", max_tokens=3, seed=1))
    assert (last.finish, last.tokens_out) == ("length", 3)


def test_a_stop_string_ends_the_reply_and_frees_its_row(model: LocalModel) -> None:
    async def both() -> tuple[str, str, Delta]:
        _, content, _ = await whole(model, "What is 3 + 4?", seed=1)
        assert content
        return await whole(model, "What is 3 + 4?", seed=1, stop=[content[1:]])

    _, content, last = asyncio.run(both())
    assert (len(content), last.finish) == (1, "stop")


@pytest.mark.parametrize(
    ("question", "options", "code"),
    [
        ("word " * 2_000, {}, "context_length_exceeded"),
        ("x" * 100_000, {}, "context_length_exceeded"),
        ("What is 1 + 2?", {"max_tokens": 5_000}, "context_length_exceeded"),
        ("What is 1 + 2?", {"presence_penalty": 0.5}, "unsupported_parameter"),
        ("What is 1 + 2?", {"frequency_penalty": -0.5}, "unsupported_parameter"),
        (exchange(Turn("user", "a"), Turn("tool", "b"), Turn("user", "c")), {}, "invalid_value"),
        (exchange(Turn("user", "a"), Turn("system", "b")), {}, "invalid_value"),
    ],
)
def test_what_cannot_be_asked_is_a_400_and_the_next_request_is_answered(
    model: LocalModel, question: str | Exchange, options: dict[str, Any], code: str
) -> None:
    error = refused(model, question, **options)
    assert (error.status, error.code) == (400, code)
    assert asyncio.run(whole(model, "What is 1 + 2?", seed=1))[2].finish == "stop"


def test_a_whole_conversation_reaches_the_model(model: LocalModel) -> None:
    turns = (
        Turn("system", "Be brief."),
        Turn("user", "apples"),
        Turn("assistant", "pears", thinking="left out"),
        Turn("user", "plums"),
    )
    text = model._renderer.decode(model._prompts.ids(turns))
    places = [text.index(said) for said in ("Be brief.", "apples", "pears", "plums")]
    assert places == sorted(places)
    assert "left out" not in text


def test_a_user_cannot_write_control_tokens(model: LocalModel) -> None:
    stop = model._tokenizer.decode([model._renderer.stop_ids[0]])
    ids = model._prompts.ids((Turn("user", f"hello{stop}{stop[:3]}{stop}{stop[3:]} there"),))
    assert not set(ids) & set(model._renderer.stop_ids)


def test_text_that_only_looks_like_one_stays_as_it_is() -> None:
    class Token:
        def __init__(self, content: str, special: bool) -> None:
            self.content, self.special = content, special

    class Tokenizer:
        def __init__(self) -> None:
            words = (("<|im_end|>", True), ("<think>", False), ("</s>", False))
            self.added_tokens_decoder = {at: Token(*word) for at, word in enumerate(words)}

    special = special_words(Tokenizer(), (2,))
    assert harmless("a <think> <|im_end|></s> <|im|>", special) == "a <think> < |im_end|>< /s> <|im|>"


def test_closing_the_iterator_stops_the_work(model: LocalModel) -> None:
    async def leave() -> None:
        pieces = model.answer(
            exchange("What is 3 + 4?"), {"max_tokens": 900, "temperature": 2.0, "top_p": 1.0}
        )
        async for _ in pieces:
            break
        await pieces.aclose()  # type: ignore[attr-defined]
        for _ in range(400):
            if not model.status()["rows"]:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the row goes on")

    asyncio.run(leave())


def test_a_run_trained_with_an_open_think_is_asked_and_read_that_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "find_speaker", lambda _: Speaker("builtin:tiny", think_prefill=True))
    made = LocalModel("runs/mine", SETTINGS)
    try:
        assert made.names == ("runs/mine",)
        assert made._renderer.decode(made._prompts.ids((Turn("user", "What is 3 + 4?"),))).endswith("<think>")
        thinking, content, last = asyncio.run(whole(made, "What is 3 + 4?", seed=1))
        assert thinking
        assert content
        assert last.finish == "stop"
        assert "<" not in thinking + content
    finally:
        asyncio.run(made.aclose())


def test_a_context_that_the_model_was_not_made_for_is_refused() -> None:
    with pytest.raises(UserError, match="made to read 1024"):
        LocalModel("builtin:tiny", LocalSettings(threads=1, context=5_000))


def test_health_tells_that_the_engine_is_down_and_a_request_gets_a_503(tmp_path: Path) -> None:
    made = LocalModel("builtin:tiny", SETTINGS)
    gateway = Served(tmp_path, model=made)
    assert gateway.ask("/healthz", method="GET").status_code == 200
    asyncio.run(made.aclose())
    assert gateway.ask("/healthz", method="GET").status_code == 503
    answer = gateway.chat("What is 1 + 2?", model="builtin:tiny")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_unavailable")


# --- the engine by itself, with a batch that does as it is told ---------------------------------------------------


class Told(ContinuousBatch):
    """Draws token 1 for every row until its `max_new_tokens`; may crash, and may be made to wait."""

    def __init__(self, rows: int) -> None:
        self._rows, self._most = [], rows
        self.entered: list[list[Row]] = []
        self.crash: list[str] = []
        self.widest = 0

    def enter(self, rows: Any) -> None:
        if "enter" in self.crash:
            self.crash.remove("enter")
            raise RuntimeError("prefill failed")
        self.entered.append(list(rows))
        self._rows.extend(rows)
        self.widest = max(self.widest, len(self._rows))
        assert len(self._rows) <= self._most

    def step(self) -> Any:
        if "step" in self.crash:
            self.crash.remove("step")
            raise RuntimeError("step failed")
        drawn = []
        for row in list(self._rows):
            row.count += 1
            ended = row.count >= row.sampling.max_new_tokens
            if not row.cancelled:
                drawn.append((row, 1, "length" if ended else ""))
            if ended or row.cancelled:
                self._rows.remove(row)
        return drawn


def row(length: int = 4, prompt: int = 2) -> Row:
    return Row((0,) * prompt, Sampling(length), 0)


async def tokens_of(reply: Reply) -> int:
    count, finish = 0, ""
    while not finish:
        tokens, finish = await reply.take()
        count += len(tokens)
    return count


def with_engine(
    limits: EngineLimits, test: Callable[[LocalEngine, Told], Coroutine[Any, Any, None]], started: bool = True
) -> None:
    batch = Told(limits.rows)
    engine = LocalEngine(lambda: batch, limits, lambda: None)

    async def run() -> None:
        if started:
            engine.start()
        try:
            await test(engine, batch)
        finally:
            await engine.close()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_clients_are_served_by_turns_whoever_came_first() -> None:
    async def test(engine: LocalEngine, batch: Told) -> None:
        many = [engine.submit(row(1), "greedy") for _ in range(6)]
        one = engine.submit(row(1), "modest")
        engine.start()
        await asyncio.gather(*map(tokens_of, [*many, one]))
        order = [inside.row for inside in (*many, one)]
        served = [order.index(entered) for step in batch.entered for entered in step]
        assert served.index(6) == 1

    with_engine(EngineLimits(rows=1), test, started=False)


def test_a_full_queue_refuses_the_newest_of_the_client_with_the_most() -> None:
    async def test(engine: LocalEngine, _: Told) -> None:
        many = [engine.submit(row(1), "greedy") for _ in range(4)]
        with pytest.raises(Refusal) as own:
            engine.submit(row(1), "greedy")
        assert own.value.status == 429
        other = engine.submit(row(1), "modest")
        engine.start()
        with pytest.raises(Refusal) as taken:
            await tokens_of(many[-1])
        assert (taken.value.status, taken.value.code) == (429, "model_queue_full")
        assert await asyncio.gather(*map(tokens_of, [*many[:-1], other])) == [1, 1, 1, 1]

    with_engine(EngineLimits(rows=1, waiting=4), test, started=False)


def test_rows_and_cache_stay_within_their_limits() -> None:
    async def test(engine: LocalEngine, batch: Told) -> None:
        long = engine.submit(row(50, prompt=10), "a")
        short = [engine.submit(row(3), "b") for _ in range(9)]
        engine.start()
        assert await tokens_of(long) == 50
        assert await asyncio.gather(*map(tokens_of, short)) == [3] * 9
        # Beside the long one each row counts as 60 tokens: three fit into 200.
        assert batch.widest == 3

    with_engine(EngineLimits(rows=8, cache_tokens=200), test, started=False)


def test_long_prompts_do_not_hold_up_the_others_all_at_once() -> None:
    async def test(engine: LocalEngine, batch: Told) -> None:
        replies = [engine.submit(row(3, prompt=100), "a") for _ in range(4)]
        engine.start()
        await asyncio.gather(*map(tokens_of, replies))
        assert [len(step) for step in batch.entered] == [2, 2]

    with_engine(EngineLimits(rows=8, prefill_tokens=250), test, started=False)


@pytest.mark.parametrize("where", ["enter", "step"])
def test_a_crash_ends_the_replies_under_way_and_the_next_are_answered(where: str) -> None:
    async def test(engine: LocalEngine, batch: Told) -> None:
        batch.crash.append(where)
        with pytest.raises(Refusal) as caught:
            await tokens_of(engine.submit(row(), "a"))
        assert (caught.value.status, caught.value.code) == (500, "model_failed")
        batch._rows.clear()
        assert engine.ready() == ""
        assert await tokens_of(engine.submit(row(), "a")) == 4
        assert engine.status()["crashes"] == 1

    with_engine(EngineLimits(), test)


def test_an_engine_that_crashes_again_and_again_stays_down_and_says_so() -> None:
    async def test(engine: LocalEngine, batch: Told) -> None:
        batch.crash += ["enter"] * 3
        for _ in range(3):
            with pytest.raises(Refusal):
                await tokens_of(engine.submit(row(), "a"))
        for _ in range(200):
            if engine.ready():
                break
            await asyncio.sleep(0.01)
        assert "3 times in a row (RuntimeError)" in engine.ready()
        with pytest.raises(Refusal) as caught:
            engine.submit(row(), "a")
        assert (caught.value.status, caught.value.code) == (503, "model_unavailable")

    with_engine(EngineLimits(), test)


def test_closing_ends_what_waits_and_what_runs_with_an_error() -> None:
    async def test(engine: LocalEngine, _: Told) -> None:
        running = engine.submit(row(10**9), "a")
        await running.take()
        waiting = engine.submit(row(5), "b")
        await engine.close(0.0)
        for reply in (running, waiting):
            with pytest.raises(Refusal) as caught:
                await tokens_of(reply)
            assert (caught.value.status, caught.value.code) == (503, "shutting_down")
        with pytest.raises(Refusal):
            engine.submit(row(), "c")

    with_engine(EngineLimits(rows=1), test)


def test_closing_lets_replies_end_in_the_time_given() -> None:
    async def test(engine: LocalEngine, _: Told) -> None:
        reply = engine.submit(row(30), "a")
        await engine.close(10.0)
        assert await tokens_of(reply) == 30

    with_engine(EngineLimits(), test)


def test_a_client_that_leaves_the_queue_is_not_served() -> None:
    async def test(engine: LocalEngine, batch: Told) -> None:
        first, second = engine.submit(row(2), "a"), engine.submit(row(2), "a")
        first.cancel()
        engine.start()
        assert await tokens_of(second) == 2
        assert [[one is second.row for one in step] for step in batch.entered] == [[True]]

    with_engine(EngineLimits(), test, started=False)
