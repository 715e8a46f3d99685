"""Lets LibreOffice insert rows. Run it with the Python that has the UNO bridge (Debian's) and a JSON file of jobs.

Each job opens a workbook, inserts rows with LibreOffice's own function, recalculates it and saves it as flat XML.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import uno
from com.sun.star.beans import PropertyValue
from com.sun.star.connection import NoConnectException

SMALLEST = 1000
"""Smallest size of a loaded chart, in hundredths of a millimetre; charts that are still loading are smaller."""


def value(name: str, content: object) -> Any:
    return PropertyValue(Name=name, Value=content)


class Office:
    """A running LibreOffice."""

    def __init__(self, pipe: str, process: subprocess.Popen[bytes], deadline: float) -> None:
        local = uno.getComponentContext()
        resolver = local.ServiceManager.createInstanceWithContext("com.sun.star.bridge.UnoUrlResolver", local)
        while True:
            try:
                context = resolver.resolve(f"uno:pipe,name={pipe};urp;StarOffice.ComponentContext")
                break
            except NoConnectException:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.desktop = context.ServiceManager.createInstanceWithContext("com.sun.star.frame.Desktop", context)
        self.toolkit = context.ServiceManager.createInstanceWithContext("com.sun.star.awt.Toolkit", context)

    def run(self, job: dict[str, Any]) -> None:
        """Open a workbook, insert rows, recalculate and save."""
        hidden = (value("Hidden", True),)
        document = self.desktop.loadComponentFromURL(f"file://{job['source']}", "_blank", 0, hidden)
        if document is None:
            raise SystemExit(f"LibreOffice does not open {job['source']}")
        try:
            self.settle(document)
            for sheet, row, count in job["insert"]:
                try:
                    insert(document.Sheets.getByName(sheet), row, count)
                except Exception as error:
                    raise SystemExit(
                        f"{job['source']}: LibreOffice inserts nothing at {sheet} {row}: {error!r}"
                    ) from error
            for name in document.Sheets.ElementNames:
                pivots = document.Sheets.getByName(name).DataPilotTables
                for pivot in pivots.ElementNames:  # LibreOffice refreshes pivots on opening, but not on inserting
                    pivots.getByName(pivot).refresh()
            document.calculateAll()
            self.settle(document)
            kind = (value("FilterName", "OpenDocument Spreadsheet Flat XML"),)
            document.storeToURL(f"file://{job['target']}", kind)
        finally:
            document.close(True)

    def settle(self, document: Any) -> None:
        """Wait until charts are loaded, which happens asynchronously: before that they have no size."""
        deadline = time.monotonic() + 60
        while True:
            self.toolkit.processEventsToIdle()
            charts = [
                shape
                for name in document.Sheets.ElementNames
                for shape in shapes(document.Sheets.getByName(name).DrawPage)
                if shape.supportsService("com.sun.star.drawing.OLE2Shape")
            ]
            for chart in charts:
                chart.Model  # noqa: B018 -- loads it
            if all(chart.Size.Height > SMALLEST for chart in charts):
                return
            if time.monotonic() > deadline:
                raise SystemExit("LibreOffice does not load the charts")
            time.sleep(0.05)


def shapes(page: Any) -> list[Any]:
    """All shapes of a sheet."""
    return [page.getByIndex(number) for number in range(page.Count)]


def insert(sheet: Any, row: int, count: int) -> None:
    """Insert rows with the default height; setting the height of new rows is the task of the code under test."""
    if sheet.isProtected():
        sheet.unprotect("")
    sheet.Rows.insertByIndex(row - 1, count)
    sheet.getCellRangeByPosition(0, row - 1, 0, row + count - 2).Rows.OptimalHeight = True


def main(path: str) -> None:
    """Run all jobs of a file in one LibreOffice process."""
    work = json.loads(Path(path).read_text())
    pipe = f"aetherflow-{work['name']}"
    command = [
        work["program"], f"-env:UserInstallation=file://{work['profile']}", "--headless", "--norestore", "--nologo",
        "--nodefault", f"--accept=pipe,name={pipe};urp;",
    ]  # fmt: skip
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True) as process:
        try:
            office = Office(pipe, process, time.monotonic() + 120)
            for job in work["jobs"]:
                office.run(job)
            with contextlib.suppress(Exception):  # the bridge may close before it answers
                office.desktop.terminate()
            process.wait(60)
        finally:
            # the program is a child of what was started; one that hangs would answer in place of the next one
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
