"""The CO₂ of a run, measured by codecarbon where a country is named; nothing is sent anywhere."""

from __future__ import annotations

from typing import Any


class Meter:
    """Counts grams of CO₂-equivalent while it is entered; without a country it counts nothing."""

    def __init__(self, country: str | None) -> None:
        """Get ready.

        Args:
            country: Three letters (ISO 3166-1 alpha-3), by which codecarbon knows how electricity is made.

        Raises:
            ValueError: codecarbon is not installed, or does not know the country.
        """
        self._tracker: Any = _tracker(country) if country else None
        self._taken = 0.0

    def take(self) -> float:
        """Grams since this was last called."""
        if self._tracker is None:
            return 0.0
        total = 1000 * float(self._tracker.flush() or 0.0)  # codecarbon counts kilograms
        since, self._taken = total - self._taken, total
        return since

    def __enter__(self) -> Meter:
        """Start to count."""
        if self._tracker is not None:
            self._tracker.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Count no longer."""
        if self._tracker is not None:
            self._tracker.stop()


def _tracker(country: str) -> Any:
    try:
        from codecarbon import OfflineEmissionsTracker
        from codecarbon.input import DataSource
    except ImportError as error:
        raise ValueError(
            f"--emissions {country}: codecarbon is not installed. Type: pip install codecarbon, or leave it out."
        ) from error
    known = DataSource().get_global_energy_mix_data()
    if country not in known:
        raise ValueError(f"--emissions {country}: no such country. Give three letters, e.g. DEU, FRA, TUR, USA.")
    return OfflineEmissionsTracker(
        country_iso_code=country, save_to_file=False, log_level="error", allow_multiple_runs=True
    )
