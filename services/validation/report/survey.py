"""One pass over the rows, batch by batch: the evidence for what the columns are, and, under the
types that the beginning suggests, what the report says of the rows, and the rows themselves as they
will be loaded.

Where the evidence comes out otherwise than the beginning suggested, the rows are gone through once
more.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import polars as pl

from services.common import errors
from services.validation.columns import decisions, names
from services.validation.columns.column_types import (
    SAMPLED_VALUES,
    Candidates,
    Evidence,
    worth_testing,
)
from services.validation.parts.kept import Kept
from services.validation.parts.loading import Loading
from services.validation.process.worker import Worker
from services.validation.reading.table import Batch, Table, Take, column
from services.validation.report import guide
from services.validation.report.profile import Profile
from services.validation.report.time_profile import TimeProfile
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import ValidateObjectRequest

FIRST_SAMPLE_ROWS = 10_000
SAMPLE_ROWS = 400
"""What each further batch adds to the sample that tells what is worth testing."""
MAX_PASSES = 5


class Survey:
    """What is known of the rows so far."""

    def __init__(self, request: ValidateObjectRequest, folder: Path) -> None:
        """Loadable rows are kept in `folder`."""
        self._said, self._folder = request, folder
        self._reading = decisions.reading(request)
        self._worker = Worker()
        self.begin()

    def close(self) -> None:
        """Ends the counting."""
        self._worker.close()

    def begin(self) -> Take:
        """Forgets all rows; returns what takes them."""
        self._request = self._said
        self._source_header: list[str] = []
        self._values: list[list[pl.Series]] = []
        self._silent: set[int] = set()
        self._candidates: list[Candidates] = []
        self._guess: Loading | None = None
        return self.add

    def add(self, batch: Batch) -> None:
        """Takes the next rows.

        Raises:
            FileFault: HEADER_DAMAGED, OPTION_MISFIT.
        """
        if guide.task_of(batch.header):
            batch = guide.without_in(batch)
            self._read_as_last_load(batch.header)
        rest = batch.frame
        if self._guess is None:
            self._start(batch.header, rest.head(FIRST_SAMPLE_ROWS))
            rest = rest.slice(FIRST_SAMPLE_ROWS)
        if rest.height:
            self._sample(rest)
        self._take(batch)

    def _read_as_last_load(self, header: list[str]) -> None:
        self._request = ValidateObjectRequest()
        self._request.CopyFrom(self._said)
        self._request.options.CopyFrom(
            guide.as_last_load(self._said.options, self._said.policy.contract, header)
        )

    def _start(self, header: list[str], sample: pl.DataFrame) -> None:
        self._source_header = header
        self._values = [
            [sample.select(self._reading.value(column(i))).to_series().drop_nulls()]
            for i in range(len(header))
        ]
        self._silent = {i for i, (values,) in enumerate(self._values) if not len(values)}
        self._candidates = self._worth_testing()
        evidence = Evidence(self._header, self._candidates, self._reading)
        evidence.add(sample)
        guess, _, _ = decisions.decide(self._request, self._source_header, evidence)
        self._restart(guess)

    @property
    def _header(self) -> list[str]:
        return [names.clean(name) for name in self._source_header]

    def _worth_testing(self) -> list[Candidates]:
        return worth_testing(
            [pl.concat(values) for values in self._values],
            self._header,
            self._source_header,
            self._request.options,
        )

    def _sample(self, frame: pl.DataFrame) -> None:
        all_values = [self._reading.value(column(i)) for i in range(len(self._values))]
        sample = frame.gather_every(max(1, frame.height // SAMPLE_ROWS)).select(all_values)
        for i, values in enumerate(self._values):
            more = sample.to_series(i).drop_nulls()
            if i in self._silent:
                more = frame.select(all_values[i]).to_series().drop_nulls().head(SAMPLED_VALUES)
            if len(more):
                values.append(more)
                self._silent.discard(i)

    def _restart(self, guess: Loading, careful: Collection[int] = ()) -> None:
        """Forgets what was found under another guess."""
        self._guess = guess
        self._evidence = Evidence(self._header, self._candidates, self._reading, careful)
        self._changed: dict[int, int] = {}
        self._worker.finish()
        self._profile = Profile(guess)
        self._times = TimeProfile()
        self._spool = Kept(self._folder)

    def _take(self, batch: Batch) -> None:
        if self._guess is None:
            raise RuntimeError("rows came before their header")
        plain = self._evidence.add(batch.frame)
        rows = self._guess.loadable(batch.frame, plain, line_breaks=batch.line_breaks)
        self._worker.do(self._count, rows)
        if batch.line_breaks:
            changes = self._guess.changed_texts()
            counts = batch.frame.select(
                [count.alias(column(position)) for position, count in changes]
            )
            for position, _ in changes:
                self._changed[position] = self._changed.get(position, 0) + int(
                    counts[column(position)][0]
                )

    def _count(self, rows: pl.DataFrame) -> None:
        self._profile.add(rows)
        if names.TIME in rows.columns and rows.height:
            self._times.add(rows[names.TIME])
            self._spool.add(rows)

    def settle(self, table: Table) -> tuple[Loading, int, list[Problem]]:
        """What the columns are and which rows are loaded, how many rows are blank, and the warnings
        about it; `table` has all rows again.

        Raises:
            FileFault: HEADER_DAMAGED, OPTION_MISFIT.
        """
        if self._guess is None:
            self._start(table.header, table.frame().head(0).collect())
        if any(len(values) > 1 for values in self._values):
            wanted = self._worth_testing()
            if not all(
                known.cover(other) for known, other in zip(self._candidates, wanted, strict=True)
            ):
                self._candidates = wanted
                self._go_through(table)
        if careful := self._evidence.unmeasured:
            self._go_through(table, careful=careful)
        for _ in range(MAX_PASSES):
            loading, blank, warnings = decisions.decide(
                self._request, self._source_header, self._evidence, table
            )
            if self._guess is not None and loading.reads_as(self._guess):
                return loading, blank, warnings + self._changed_texts(loading)
            self._go_through(table, loading, careful)
        raise RuntimeError("the evidence differs from pass to pass")

    def _go_through(
        self, table: Table, guess: Loading | None = None, careful: Collection[int] = ()
    ) -> None:
        if guess is None:
            guess = self._guess
        if guess is None:
            raise RuntimeError("rows came before their header")
        self._restart(guess, careful)
        for batch in table.batches():
            self._take(batch)

    def _changed_texts(self, loading: Loading) -> list[Problem]:
        changed = []
        for fact in loading.columns:
            if count := self._changed.get(fact.position):
                message = f"{count:,} values of {fact.shown_name} hold line breaks; they are loaded with blanks in their place."
                changed.append(
                    errors.problem(
                        ErrorReason.ERROR_REASON_TEXT_CHANGED,
                        message,
                        column=fact.source_name,
                        value=count,
                    )
                )
        return changed

    def found(self) -> dict[str, Any]:
        """What `profile` and `time_profile` report of the loadable rows."""
        self._worker.finish()
        return {**self._profile.found(), **self._times.found()}

    @property
    def kept(self) -> Kept:
        """The loadable rows, where there is a time column."""
        return self._spool

    def sampled_times(self) -> pl.Series:
        """The times of an even sample of them."""
        return self._profile.times()
