"""The single pass over the rows, batch by batch.

Collects the evidence for the column types. At the same time, profiles and keeps the loadable rows
under the types that the first rows suggest. If the evidence of all rows contradicts these types,
another pass follows.
"""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import polars as pl

from services.common import errors
from services.validation.columns import decisions, names
from services.validation.columns.evidence import (
    SAMPLED_VALUES,
    Candidates,
    Evidence,
    find_candidates,
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
"""Rows that each further batch adds to the sample from which the candidates are found."""
MAX_PASSES = 5


class Survey:
    """Collects evidence, profile and loadable rows of a table."""

    def __init__(self, request: ValidateObjectRequest, folder: Path) -> None:
        """`folder`: where the loadable rows are kept."""
        self._original_request, self._folder = request, folder
        self._null_tokens = decisions.null_tokens(request)
        self._worker = Worker()
        self.begin()

    def close(self) -> None:
        """Stops counting."""
        self._worker.close()

    def begin(self) -> Take:
        """Discards all rows. Returns the function that takes rows."""
        self._request = self._original_request
        self._source_header: list[str] = []
        self._samples: list[list[pl.Series]] = []
        self._without_values: set[int] = set()
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
        original = self._original_request
        self._request = ValidateObjectRequest()
        self._request.CopyFrom(original)
        self._request.options.CopyFrom(
            guide.as_last_load(original.options, original.policy.contract, header)
        )

    def _start(self, header: list[str], sample: pl.DataFrame) -> None:
        self._source_header = header
        self._samples = [
            [sample.select(self._null_tokens.value(column(i))).to_series().drop_nulls()]
            for i in range(len(header))
        ]
        self._without_values = {i for i, (values,) in enumerate(self._samples) if not len(values)}
        self._candidates = self._find_candidates()
        evidence = Evidence(self._header, self._candidates, self._null_tokens)
        evidence.add(sample)
        guess, _, _ = decisions.decide(self._request, self._source_header, evidence)
        self._restart(guess)

    @property
    def _header(self) -> list[str]:
        return [names.clean(name) for name in self._source_header]

    def _find_candidates(self) -> list[Candidates]:
        return find_candidates(
            [pl.concat(pieces) for pieces in self._samples],
            self._header,
            self._source_header,
            self._request.options,
        )

    def _sample(self, frame: pl.DataFrame) -> None:
        values = [self._null_tokens.value(column(i)) for i in range(len(self._samples))]
        sample = frame.gather_every(max(1, frame.height // SAMPLE_ROWS)).select(values)
        for i, pieces in enumerate(self._samples):
            more = sample.to_series(i).drop_nulls()
            if i in self._without_values:
                more = frame.select(values[i]).to_series().drop_nulls().head(SAMPLED_VALUES)
            if len(more):
                pieces.append(more)
                self._without_values.discard(i)

    def _restart(self, guess: Loading, detailed: Collection[int] = ()) -> None:
        """Discards the results under another guess."""
        self._guess = guess
        self._evidence = Evidence(self._header, self._candidates, self._null_tokens, detailed)
        self._changed_texts: Counter[str] = Counter()
        self._worker.finish()
        self._profile = Profile(guess)
        self._times = TimeProfile()
        self._kept = Kept(self._folder)

    def _take(self, batch: Batch) -> None:
        if self._guess is None:
            raise RuntimeError("rows came before their header")
        parsed = self._evidence.add(batch.frame)
        rows = self._guess.loadable(batch.frame, parsed, line_breaks=batch.line_breaks)
        self._worker.do(self._count, rows)
        if batch.line_breaks and (counts := self._guess.changed_texts()):
            self._changed_texts.update(batch.frame.select(counts).row(0, named=True))

    def _count(self, rows: pl.DataFrame) -> None:
        self._profile.add(rows)
        if names.TIME in rows.columns and rows.height:
            self._times.add(rows[names.TIME])
            self._kept.add(rows)

    def settle(self, table: Table) -> tuple[Loading, int, list[Problem]]:
        """Decides how to load the rows. Also returns the number of blank rows, and the warnings.

        Repeats the pass over `table` until the decisions agree with the evidence.

        Raises:
            FileFault: HEADER_DAMAGED, OPTION_MISFIT.
        """
        if self._guess is None:
            self._start(table.header, table.frame().head(0).collect())
        if any(len(pieces) > 1 for pieces in self._samples):
            candidates = self._find_candidates()
            if not all(
                known.covers(other)
                for known, other in zip(self._candidates, candidates, strict=True)
            ):
                self._candidates = candidates
                self._repeat(table)
        if detailed := self._evidence.needs_detail:
            self._repeat(table, detailed=detailed)
        for _ in range(MAX_PASSES):
            loading, blank, warnings = decisions.decide(
                self._request, self._source_header, self._evidence, table
            )
            if self._guess is not None and loading.same_rows_as(self._guess):
                return loading, blank, warnings + self._text_warnings(loading)
            self._repeat(table, loading, detailed)
        raise RuntimeError("the evidence differs from pass to pass")

    def _repeat(
        self, table: Table, guess: Loading | None = None, detailed: Collection[int] = ()
    ) -> None:
        guess = guess or self._guess
        if guess is None:
            raise RuntimeError("rows came before their header")
        self._restart(guess, detailed)
        for batch in table.batches():
            self._take(batch)

    def _text_warnings(self, loading: Loading) -> list[Problem]:
        return [
            errors.problem(
                ErrorReason.ERROR_REASON_TEXT_CHANGED,
                f"{count:,} values of {fact.display_name} contain line breaks; they are loaded with blanks instead.",
                column=fact.source_name,
                value=count,
            )
            for fact in loading.columns
            if (count := self._changed_texts[column(fact.position)])
        ]

    def profiles(self) -> tuple[Profile, TimeProfile]:
        """The profiles of the loadable rows, once all are counted."""
        self._worker.finish()
        return self._profile, self._times

    @property
    def kept(self) -> Kept:
        """The loadable rows; empty without a time column."""
        return self._kept
