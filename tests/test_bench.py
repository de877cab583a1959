from __future__ import annotations

import time

import pytest

from fer_hub.bench import compare, ratio, table


def test_the_slower_call_has_the_larger_median_and_every_call_is_counted() -> None:
    timings = compare({"slow": lambda: time.sleep(0.01), "fast": lambda: None}, rounds=2, block=3, pause=0)
    assert timings["slow"].n == timings["fast"].n == 6
    assert ratio(timings, "fast", "slow") > 1
    assert timings["slow"].minimum <= timings["slow"].p50 <= timings["slow"].p95 <= timings["slow"].maximum
    assert [line.split()[0] for line in table(timings).splitlines()[1:]] == ["slow", "fast"]


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="0 candidates"):
        compare({})
    with pytest.raises(ValueError, match="rounds=0"):
        compare({"a": lambda: None}, rounds=0)
    with pytest.raises(ValueError, match="there are a"):
        ratio(compare({"a": lambda: None}, pause=0), "a", "b")
