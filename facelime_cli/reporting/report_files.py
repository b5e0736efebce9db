"""The files of a report: pictures, pages and figures unit by unit; last the tables and the page that opens first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facelime_cli.reporting import captions, regions
from facelime_cli.reporting.blocks import divided, page_name, thumbnail_name
from facelime_cli.reporting.report_pages import ReportPages
from facelime_cli.reporting.single_file import check_bytes, check_size
from facelime_cli.store.files import write_whole
from facelime_cli.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from facelime_cli.console import Advance
    from facelime_cli.reporting.regions import Drawn
    from facelime_cli.reporting.report import Report
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.store.units import Unit

INDEX = "index.html"
PLATES_AT_ONCE = 8


class ReportFiles:
    """Writes the files of a report.

    Parameters
    ----------
    report : Report
    artifact : Artifact
        The report that is being made.
    formats : sequence of str
        Endings of the figures; none where no figures were asked for.
    """

    def __init__(self, report: Report, artifact: Artifact, formats: Sequence[str]) -> None:
        self._report, self._artifact, self._formats = report, artifact, formats
        report.keep_to(artifact)
        self._pages = ReportPages(report, artifact)

    def write_units(self, units: Iterable[Unit], processes: int | None, advance: Advance) -> None:
        """Draw the pictures of some units, their pages and their figures.

        Parameters
        ----------
        units : iterable of Unit
            Claimed units; they are finished afterwards.
        processes : int or None
            How many draw in parallel; None is one per core.
        advance : Advance
            Counts pictures.
        """
        if self._report.request.single_file:
            check_size(self._report, self._pages)
        with Workers(processes) as workers:
            for unit in units:
                self._write_unit(unit, workers, advance)

    def _write_unit(self, unit: Unit, workers: Workers, advance: Advance) -> None:
        made, zones = [], []
        # Block by block, so that memory does not grow with the pictures of a unit.
        for block in divided(range(unit.rows.start, unit.rows.stop), self._report.pictures_a_page):
            drawn = self._drawn(block, workers, advance)
            made += self._write_block(block, drawn)
            for row, each in zip(block, drawn, strict=True):
                zones += self._report.zones(row, each)
            made += self._write_figures(block, workers, advance)
        unit.finish({}, made=made, facts={"zones": zones} if self._report.request.by_zone else {})

    def _drawn(self, block: range, workers: Workers, advance: Advance) -> list[Drawn]:
        """Draw the pictures of a block: read here, drawn there, so that processes share no store."""
        tasks = [self._report.to_draw(row) for row in block]
        found = []
        for drawn in workers.map(regions.draw, tasks):
            found.append(drawn)
            # Figures take nearly all of the time: where there are any, progress counts those.
            advance(0 if self._formats else 1)
        return found

    def _write_block(self, block: range, drawn: Sequence[Drawn]) -> list[str]:
        """Write what a block has to show, and return the names of the files."""
        thumbnails = [each.thumbnail for each in drawn if each.thumbnail is not None]
        if self._report.one_page:
            files = {name: copy for each in drawn for name, copy in each.copies.items()}
            each_alone = zip(block, thumbnails, strict=True)
            files |= {thumbnail_name(row): regions.strip([thumbnail]) for row, thumbnail in each_alone}
        else:
            # A page holds its pictures, and one strip the thumbnails: the number of files must stay bounded.
            files = {page_name(block.start): self._pages.block(block, drawn).encode()}
            files[thumbnail_name(block.start)] = regions.strip(thumbnails)
        for name, content in files.items():
            # Finishing the unit waits for the disk once, for all of its files.
            write_whole(self._artifact.file(name), content, durable=False)
        return list(files)

    def _write_figures(self, rows: range, workers: Workers, advance: Advance) -> list[str]:
        """Draw the figures of some pictures, and return their names."""
        panels = [panel for row in rows for panel in self._report.panels(self._artifact, row, self._formats)]
        done = 0
        for n_figures, _ in enumerate(workers.map(regions.figure, panels), start=1):
            # Progress counts whole pictures, of which each may have several figures.
            pictures = n_figures * len(rows) // len(panels)
            advance(pictures - done)
            done = pictures
        return [f"figures/{file.name}" for panel in panels for file in panel.files]

    def write_index(self, processes: int | None) -> list[str]:
        """Write the tables and the page that opens first; every unit is done.

        Parameters
        ----------
        processes : int or None
            How many draw in parallel; None is one per core.

        Returns
        -------
        list of str
            The names of the files.
        """
        # Every picture is asked for several times here: its answers are read once, and not with all samples each time.
        _ = self._report.explanations.answers
        made = [*self._report.write_tables(self._artifact), *self._write_plates(processes)]
        # Many pictures have pages of their own already; few stand on this one.
        rows = range(len(self._report.explanations)) if self._report.one_page else range(0)
        tasks = [self._report.to_outline(row) for row in rows]
        with Workers(processes) as workers:
            drawn = list(workers.map(regions.outline, tasks))
        page = self._pages.index(drawn).encode()
        if self._report.request.single_file:
            # What was expected before came from a few pictures.
            check_bytes(len(page))
        write_whole(self._artifact.file(INDEX), page)
        return [*made, INDEX]

    def _write_plates(self, processes: int | None) -> list[str]:
        """Draw the plates, write the caption of all figures, and return the names of the files."""
        if not self._formats:
            return []
        report, artifact = self._report, self._artifact
        plates = report.plates()
        # A few at a time, so that memory does not grow with the number of pictures.
        with Workers(processes) as workers:
            for few in divided(range(len(plates)), PLATES_AT_ONCE):
                tasks = [report.plate(artifact, *plates[place], self._formats) for place in few]
                for _ in workers.map(regions.plate, tasks):
                    pass
        text = captions.caption(report, plates)
        write_whole(artifact.file(captions.FILE), text.encode("utf-8", errors="backslashreplace"))
        return [*(f"figures/{name}.{ending}" for name, _ in plates for ending in self._formats), captions.FILE]
