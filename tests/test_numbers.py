"""Numbers of any type become plain ones where they enter; other values are refused."""

import math
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Never

import attrs
import numpy as np
import pytest

from prolific_async import Batch, PollPolicy, ProlificClient, RetryPolicy
from prolific_async._numbers import number, whole
from prolific_async.durable import DurableBatches
from prolific_async.durable.order_spec import OrderSpec
from prolific_async.simulator import AfterPolls, AfterSeconds, Fault, Immediately, Simulator
from prolific_async.simulator.faults import FaultQueue


class Floating:
    def __float__(self) -> float:
        return 2.0


class Indexed:
    def __index__(self) -> int:
        return 2


class Raising:
    def __float__(self) -> float:
        raise ZeroDivisionError

    __index__ = __float__


class Hiding:
    """A value that is no number and whose repr raises."""

    def __repr__(self) -> str:
        raise ZeroDivisionError


class Odd(float):
    """A float with arithmetic of its own."""

    def __sub__(self, _: object) -> Never:
        raise ZeroDivisionError


WHOLE: list[Any] = [2, np.int64(2), np.uint8(2), np.array(2), Indexed()]
FLOATING: list[Any] = [
    *WHOLE,
    2.0,
    np.float64(2),
    np.float32(2),
    np.float16(2),
    np.longdouble(2),
    np.array(2.0),
    Decimal(2),
    Fraction(2),
    Floating(),
    Odd(2),
]
NONE: list[Any] = [
    True,
    np.bool_(True),  # noqa: FBT003 - what is refused
    np.array(True),  # noqa: FBT003
    "2",
    b"2",
    bytearray(b"2"),
    memoryview(b"2"),
    np.str_("2"),
    np.array("2"),
    np.array([2, 2]),
    np.array(2, dtype=object),
    2j,
    np.complex64(2),
    np.datetime64("2026-05-04"),
    math.nan,
    np.float64("nan"),
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("1e400"),
    Decimal("-1e400"),
    Fraction(10) ** 400,
    np.longdouble("1e400"),
    10**400,
    10**5000,
    -(10**5000),
    -1,
    -math.inf,
    Raising(),
    Hiding(),
    [2],
    ...,
    object,
]


def kind(value: object) -> str:
    """Return a test id for a value without a usable repr."""
    return type(value).__name__


def is_plain(value: object, wanted: type) -> bool:
    return type(value) is wanted and value == 2


@pytest.mark.parametrize("given", FLOATING, ids=kind)
def test_a_number_becomes_a_plain_float(given: Any) -> None:
    assert is_plain(number("it", given), float)


@pytest.mark.parametrize("given", WHOLE, ids=kind)
def test_a_whole_number_becomes_a_plain_int(given: Any) -> None:
    assert is_plain(whole("it", given, least=1), int)


@pytest.mark.parametrize("given", [*NONE, None], ids=kind)
@pytest.mark.parametrize("infinite", [False, True])
def test_values_that_are_not_numbers_are_refused(given: Any, *, infinite: bool) -> None:
    with pytest.raises(ValueError, match=r"^it must be a (finite )?number from 0: .+$"):
        number("it", given, infinite=infinite)


@pytest.mark.parametrize(
    "given", [one for one in NONE if not isinstance(one, int) or one < 2], ids=kind
)
def test_values_that_are_not_whole_numbers_are_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^it must be a whole number from 2: .+$"):
        whole("it", given, least=2)


@pytest.mark.parametrize(
    "given", [2.0, np.float64(2), Decimal(2), Fraction(2), Floating()], ids=kind
)
def test_fractions_and_text_are_not_whole_numbers(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^it must be a whole number from 0: "):
        whole("it", given, least=0)


@pytest.mark.parametrize("given", [math.inf, np.float64("inf"), Decimal("inf")], ids=kind)
def test_infinity_is_accepted_only_if_allowed(given: Any) -> None:
    assert number("it", given, infinite=True) == math.inf
    assert type(number("it", given, infinite=True)) is float
    with pytest.raises(ValueError, match=r"^it must be a finite number from 0: "):
        number("it", given)


@pytest.mark.parametrize("given", [0, 0.0, -0.0, np.float64(0), Fraction(1, 10**400)], ids=kind)
def test_a_positive_number_is_above_0(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^it must be a finite number above 0, or None: "):
        number("it", given, positive=True, or_none=True)


@pytest.mark.parametrize("given", [timedelta(seconds=2), np.timedelta64(2, "ns")], ids=kind)
def test_a_timedelta_is_refused_with_advice(given: Any) -> None:
    told = "it must be a number, not a timedelta: give its total_seconds()"
    with pytest.raises(ValueError, match="timedelta") as raised:
        number("it", given)
    assert str(raised.value) == told


def test_an_exception_of_the_number_is_the_cause() -> None:
    for check in (lambda: number("it", Raising()), lambda: whole("it", Raising(), least=0)):
        with pytest.raises(ValueError, match="it must be") as raised:
            check()
        assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("2", "it is no number"),
        (True, "it is no number"),
        (np.complex64(2), "it is of the type complex64"),
        (10**400, "int too large to convert to float"),
        (Decimal("1e400"), "it is finite, but beyond every float"),
    ],
    ids=kind,
)
def test_the_cause_says_what_is_wrong_with_a_value(given: Any, why: str) -> None:
    with pytest.raises(ValueError, match="it must be") as raised:
        number("it", given)
    assert str(raised.value.__cause__) == why


@pytest.mark.parametrize(("given", "shown"), [(1, "1"), ("2", "'2'")], ids=kind)
def test_a_value_that_is_no_whole_number_is_shown(given: Any, shown: str) -> None:
    with pytest.raises(ValueError, match=rf"^it must be a whole number from 2: {shown}$"):
        whole("it", given, least=2)


@pytest.mark.parametrize(
    ("given", "shown"),
    [(10**5000, "<int>"), (Hiding(), "<Hiding>"), ("a\nb" * 900, "'a")],
    ids=["huge", "hiding", "long"],
)
def test_the_refused_value_is_shown_in_one_short_line(given: Any, shown: str) -> None:
    with pytest.raises(ValueError, match="it must be") as raised:
        number("it", given)
    assert f": {shown}" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


# --- where they enter ------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [RetryPolicy, PollPolicy])
def test_policies_hold_plain_numbers(cls: Any) -> None:
    for knob in attrs.fields(cls):
        wanted = type(knob.default)
        for given in WHOLE if wanted is int else FLOATING:
            other = {"maximum": 2} if knob.name == "initial" else {}
            other |= {"initial": 1} if knob.name == "maximum" else {}
            assert is_plain(getattr(cls(**{knob.name: given}, **other), knob.name), wanted)
        for given in NONE:
            if not (wanted is int and isinstance(given, int) and given > 0):
                with pytest.raises(ValueError, match=f"^{knob.name} must be a "):
                    cls(**{knob.name: given})
        if wanted is float:
            with pytest.raises(ValueError, match=rf"^{knob.name} must .* total_seconds\(\)$"):
                cls(**{knob.name: timedelta(seconds=2)})


SETTINGS = ["request_timeout", "max_requests_per_second", "max_connections"]


@pytest.mark.parametrize("name", SETTINGS)
async def test_a_client_takes_any_number_and_nothing_else(sim: Simulator, name: str) -> None:
    batch_id = sim.add_batch()
    for given in WHOLE if name == "max_connections" else FLOATING:
        options: Any = {name: given}
        async with ProlificClient(sim.token, base_url=sim.url, **options) as client:
            assert (await client.batches.get(batch_id)).id == batch_id
    for given in NONE:
        if not (name == "max_connections" and type(given) is int and given > 0):
            wrong: Any = {name: given}
            with pytest.raises(ValueError, match=f"^{name} must be a "):
                ProlificClient(sim.token, base_url=sim.url, **wrong)


async def test_a_setup_takes_any_whole_number(sim: Simulator, client: ProlificClient) -> None:
    for given in WHOLE:
        await client.batches.setup(batch_id := sim.add_batch(), tasks_per_group=given)
        assert sim.batches[batch_id].tasks_per_group == 2


VERBS: dict[str, Callable[[ProlificClient, str, Any], Any]] = {
    "wait_until_ready": lambda client, batch_id, timeout: client.batches.wait_until_ready(
        batch_id, timeout=timeout
    ),
    "wait_all": lambda client, batch_id, timeout: client.batches.wait_all(
        [batch_id], timeout=timeout
    ),
    "as_ready": lambda client, batch_id, timeout: first(
        client.batches.as_ready([batch_id], timeout=timeout)
    ),
    "as_ready of a stream": lambda client, batch_id, timeout: first(
        client.batches.as_ready(stream(batch_id), timeout=timeout)
    ),
    "watch": lambda client, batch_id, timeout: first(
        client.batches.watch(batch_id, timeout=timeout)
    ),
}


async def stream(batch_id: str) -> Any:
    yield batch_id


async def first(values: Any) -> Any:
    (value,) = [value async for value in values]
    return value


@pytest.mark.parametrize("verb", VERBS)
async def test_a_wait_takes_any_number_and_nothing_else(
    sim: Simulator, client: ProlificClient, verb: str
) -> None:
    batch_id = sim.add_batch(status="READY")
    for given in [*FLOATING, Decimal("inf")]:
        await VERBS[verb](client, batch_id, given)
    before = len(sim.requests)
    for given in NONE:
        if given is not ...:  # as if left out
            with pytest.raises(ValueError, match=r"^timeout must be a number from 0, or None: "):
                await VERBS[verb](client, batch_id, given)
    with pytest.raises(ValueError, match=r"^timeout must .* total_seconds\(\)$"):
        await VERBS[verb](client, batch_id, timedelta(seconds=2))
    assert len(sim.requests) == before


async def test_a_policy_of_numpys_numbers_polls_as_usual(
    sim: Simulator, client: ProlificClient
) -> None:
    batch_id = sim.add_batch(status="PROCESSING")
    maximum: Any = np.float32(0.02)
    poll = PollPolicy(initial=np.float64(0.01), maximum=maximum)
    ready = await client.batches.wait_until_ready(batch_id, poll=poll, timeout=np.float64(5))
    assert isinstance(ready, Batch)
    assert len(sim.requests) == 4  # AfterPolls(2), and the whole batch


def test_an_order_holds_plain_numbers() -> None:
    two: Any = np.int64(2)
    endless: Any = Decimal("inf")
    for given in FLOATING:
        terms = OrderSpec.checked("b1", "copy", dataset_id=None, tasks_per_group=two, timeout=given)
        assert is_plain(terms.timeout, float)
        assert is_plain(terms.tasks_per_group, int)
    terms = OrderSpec.checked("b1", "copy", dataset_id=None, tasks_per_group=two, timeout=endless)
    assert terms.timeout is None
    for given in NONE:
        with pytest.raises(ValueError, match=r"^timeout must be a number from 0, or None: "):
            OrderSpec.checked("b1", "copy", dataset_id=None, tasks_per_group=None, timeout=given)


async def with_worker(client: ProlificClient, poll_every: Any = 2, **of: Any) -> None:
    durable = DurableBatches("postgresql:///unused", poll_every=poll_every)
    async with durable.worker(client, executor_id="one", **of):
        raise AssertionError("it works with that")


@pytest.mark.parametrize("name", ["poll_every", "max_starts_per_second", "settle_seconds"])
async def test_durable_batches_take_numbers_only(name: str, client: ProlificClient) -> None:
    for given in NONE:
        wrong: Any = {name: given}
        with pytest.raises(ValueError, match=f"^{name} must be a finite number above 0"):
            await with_worker(client, **wrong)


# --- the simulator, which shares no code with the client ------------------------------------


def test_the_simulator_takes_any_number() -> None:
    for given in FLOATING:
        assert type(AfterSeconds(given).seconds) in (int, float)
        assert type(Fault(delay=given).delay) in (int, float)
        assert type(Fault(drip=given).drip) in (int, float)
    for given in WHOLE:
        assert is_plain(AfterPolls(given).polls, int)
        assert is_plain(Fault(cut=given).cut, int)
    status: Any = np.int64(503)
    assert type(Fault(status).status) is int


def test_the_simulator_refuses_values_that_are_not_numbers() -> None:
    for given in NONE:
        if isinstance(given, Hiding):
            continue  # the message of attrs shows it
        with pytest.raises((ValueError, TypeError)):
            AfterSeconds(given)
        with pytest.raises((ValueError, TypeError)):
            Fault(delay=given)
        with pytest.raises((ValueError, TypeError)):
            Fault(drip=given)
    parts: list[Any] = [2.0, np.float64(2), Decimal(2), "2", np.bool_(True)]  # noqa: FBT003
    for given in parts:
        with pytest.raises((ValueError, TypeError)):
            AfterPolls(given)
        with pytest.raises((ValueError, TypeError)):
            Fault(cut=given)
        with pytest.raises((ValueError, TypeError)):
            FaultQueue().add("GET", "/batches", Fault(503), given)


def test_the_simulator_refuses_a_timedelta_with_advice() -> None:
    given: Any = timedelta(seconds=2)
    for make in (AfterSeconds, lambda delay: Fault(delay=delay), lambda drip: Fault(drip=drip)):
        with pytest.raises(ValueError, match=r"total_seconds\(\)"):
            make(given)


async def test_numbers_in_the_simulator_can_be_sent(client: ProlificClient) -> None:
    two: Any = np.int64(2)
    async with Simulator(setup=Immediately()) as sim:
        sim.inject("GET", "/batches", Fault(503), times=two)
        batch_id = sim.add_batch(datapoints=two, instructions=two, tasks_per_group=two)
        async with ProlificClient(sim.token, base_url=sim.url) as own:
            batch = await own.batches.get(batch_id)
    assert (batch.tasks_per_group, batch.datasets[0].total_datapoint_count) == (2, 2)
