import asyncio
import time

from benchmarks import lag


def test_percentiles() -> None:
    assert lag.percentiles(range(1001)) == {"p50": 500, "p95": 950, "p99": 990, "max": 1000}
    assert lag.percentiles([7.0]) == {"p50": 7, "p95": 7, "p99": 7, "max": 7}


async def test_a_loop_that_stands_still_is_late() -> None:
    ticker = lag.Ticker()
    ticker.start()
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(time.sleep, 0.03)
    await asyncio.sleep(2 * lag.TICK)
    ticker.stop()
    assert max(ticker.lags) > 0.015
