"""Random workbooks by seed, with formulas and everything on a sheet that refers to rows, and rows to insert."""

import io
import random
import re
from pathlib import Path
from typing import Any

import xlsxwriter
from xlsxwriter.utility import quote_sheetname

from reports_templates import png, rewrite

_NAMES = ["Data", "My Sheet", "It's", "Grün & Co", "2024", "AB12", "x-y", "Sheet_1", "RC"]
_ROWS = 30
_FIELDS = "ABCDEF"
"""Columns of plain values; formulas are to the right and only refer to these, so there are no cycles."""
_FUNCTIONS = ["SUM", "COUNT", "MAX", "COUNTA", "ROWS", "SUMPRODUCT", "MIN", "AVERAGE"]
_FIRST_FORMULA, _LAST_FORMULA = 7, 11
_SHARED, _ARRAY = 12, 13


class RandomTemplate:
    """One random workbook. `insertions` are (sheet, row, count) in rows of the template."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._sheets = self._random.sample(_NAMES, self._random.randint(2, 4))
        self._names: list[str] = []
        self._tables: list[str] = []
        self._shared: dict[int, list[tuple[int, int]]] = {}
        self._arrays: dict[str, list[tuple[int, int]]] = {name: [] for name in self._sheets}
        self.insertions: list[tuple[str, int, int]] = []

    def write(self, path: Path) -> Path:
        """Write the file and choose the insertions."""
        book = xlsxwriter.Workbook(path)
        sheets = [book.add_worksheet(name) for name in self._sheets]
        self._define_names(book)
        for index, sheet in enumerate(sheets):
            self._values(book, sheet)
            self._ranges(book, sheet, index)
            self._objects(book, sheet)
        for index, sheet in enumerate(sheets):
            self._formulas(sheet, index)
        book.close()
        rewrite(path, self._share)
        self._choose()
        return path

    def _choose(self) -> None:
        pick = self._random
        for name in pick.sample(self._sheets, pick.randint(1, 2)):
            rows: dict[int, int] = {}
            for _ in range(pick.randint(1, 3)):
                row, count = pick.randint(1, _ROWS + 8), pick.choice([1, 1, 2, 3, 10])
                # LibreOffice refuses insertions that touch an array formula of several cells, even directly above it
                if not any(row <= bottom and row + count > top for top, bottom in self._arrays[name]):
                    rows[row] = count
            self.insertions += [(name, row, count) for row, count in rows.items()]

    def _maybe(self, chance: float = 0.5) -> bool:
        return self._random.random() < chance

    # References and formulas

    def _row(self) -> int:
        return self._random.randint(1, _ROWS)

    def _rows(self) -> tuple[int, int]:
        top, bottom = sorted((self._row(), self._row()))
        return top, bottom

    def _cell(self, row: int | None = None, column: str = "") -> str:
        pick = self._random
        dollars = pick.choice(["", "$"]), pick.choice(["", "$"])
        return f"{dollars[0]}{column or pick.choice(_FIELDS)}{dollars[1]}{row or self._row()}"

    def _fixed(self, besides: str) -> str:
        sheet = self._random.choice([name for name in self._sheets if name != besides])
        return f"{quote_sheetname(sheet)}!${self._random.choice(_FIELDS)}${self._row()}"

    def _range(self) -> str:
        (top, bottom), columns = self._rows(), sorted(self._random.choices(_FIELDS, k=2))
        kind = self._random.random()
        if kind < 0.07:
            return f"{columns[0]}:{columns[1]}"
        if kind < 0.12:
            return f"{top}:{bottom}"
        if kind < 0.18:
            return f"{self._cell(top, columns[0])}:INDEX({columns[0]}:{columns[0]},{bottom})"
        return f"{self._cell(top, columns[0])}:{self._cell(bottom, columns[1])}"

    def _prefix(self) -> str:
        return f"{quote_sheetname(self._random.choice(self._sheets))}!" if self._maybe(0.4) else ""

    def _several(self) -> str:
        """A random argument for a function that accepts ranges."""
        pick = self._random
        kind = pick.random()
        if kind < 0.1 and self._names:
            return pick.choice(self._names)
        if kind < 0.17 and self._tables:
            return f"{pick.choice(self._tables)}[{pick.choice(['one', 'two'])}]"
        if kind < 0.24:
            prefix = self._prefix()
            return f"({prefix}{self._cell(column='B')}:{self._cell(_ROWS, 'E')},{self._prefix()}{self._cell()})"
        if kind < 0.3:
            top, bottom = self._rows()
            return f"A{top}:C{bottom} B{max(1, top - 1)}:F{bottom}"
        range_ = self._range()
        return range_ if "INDEX" in range_ else self._prefix() + range_

    def formula(self, depth: int = 0) -> str:
        """A random formula, without `=`."""
        pick, kind = self._random, self._random.random()
        if depth > 2 or kind < 0.25:
            return self._prefix() + self._cell()
        if kind < 0.5:
            return f"{pick.choice(_FUNCTIONS)}({self._several()})"
        if kind < 0.6:
            left, sign = self.formula(depth + 1), pick.choice(["+", "-", "*", "/", "^", "&", "=", "<>", ">="])
            return f"{left}{sign}{self.formula(depth + 1)}"
        if kind < 0.7:
            left, limit = self.formula(depth + 1), pick.choice(["1.5E10", "5", "1E3", "-2%"])
            return f'IF({left}>{limit},"A5 ""B6""",{self.formula(depth + 1)})'
        if kind < 0.76:
            return f"LOG10(ABS({self._cell()})+1)"
        if kind < 0.82:
            return f"SUM(OFFSET({self._cell()},1,0,2,1))+ROW({self._prefix()}{self._cell()})"
        if kind < 0.88:
            return f"SUM({{1,2;3,4}})+COUNT({self._several()},{self._several()})"
        if kind < 0.94:
            return (
                f"IFERROR(MATCH({self._cell()},{self._prefix()}{self._cell(2, 'A')}:{self._cell(_ROWS, 'A')},0),#N/A)"
            )
        return f"-({self.formula(depth + 1)})"

    def _formulas(self, sheet: Any, index: int) -> None:
        for row in range(1, _ROWS + 5):
            for column in range(_FIRST_FORMULA, _LAST_FORMULA):
                if self._maybe(0.25):
                    sheet.write_formula(row, column, f"={self.formula()}")
        top = self._random.randint(1, _ROWS - 10)
        bottom = top + self._random.randint(1, 8)
        self._shared[index] = [(top, bottom)]
        other = f"{self._prefix()}{self._cell()}"
        for row in range(top, bottom + 1):
            sheet.write_formula(row, _SHARED, f"=A{row + 1}*2+SUM(B$1:B{row + 1})+$C{row + 2}+{other}")
        sheet.write_array_formula(1, _ARRAY, 1, _ARRAY, f"{{=SUM({self._cell()}*2)}}")
        if self._maybe():
            top = self._random.randint(3, _ROWS - 5)
            sheet.write_array_formula(top, _ARRAY, top + 3, _ARRAY, f"{{=A{top}:A{top + 3}*2}}")
            self._arrays[sheet.get_name()].append((top + 1, top + 4))

    def _share(self, parts: dict[str, bytes]) -> None:
        """Make the formulas of one column a group of shared ones, as Excel writes them."""
        for index, groups in self._shared.items():
            part = f"xl/worksheets/sheet{index + 1}.xml"
            text = parts[part].decode()
            for group, (top, bottom) in enumerate(groups):
                ref = f"M{top + 1}:M{bottom + 1}"
                pattern = re.compile(rf'(<c r="M{top + 1}"[^>]*>)<f>')
                text = pattern.sub(rf'\g<1><f t="shared" ref="{ref}" si="{group}">', text)
                for row in range(top + 2, bottom + 2):
                    text = re.sub(rf'(<c r="M{row}"[^>]*>)<f>[^<]*</f>', rf'\g<1><f t="shared" si="{group}"/>', text)
            parts[part] = text.encode()

    # What else is on a sheet

    def _define_names(self, book: Any) -> None:
        for number in range(self._random.randint(1, 4)):
            (top, bottom), sheet = self._rows(), quote_sheetname(self._random.choice(self._sheets))
            plain = [name for name in self._sheets if name.isidentifier()]
            scope = f"{self._random.choice(plain)}!" if plain and self._maybe(0.2) else ""
            book.define_name(f"{scope}name_{number}", f"={sheet}!$A${top}:$C${bottom}")
            if not scope:
                self._names.append(f"name_{number}")

    def _values(self, book: Any, sheet: Any) -> None:
        pick = self._random
        money = book.add_format({"num_format": "#,##0.00", "border": 1})
        for row in range(_ROWS):
            if self._maybe(0.1):
                sheet.set_row(row, pick.choice([8, 30, 45]))
            for column in range(len(_FIELDS)):
                if self._maybe(0.8):
                    sheet.write(
                        row, column, pick.choice([1, 2, 3.5, "text", "A5"]), money if self._maybe(0.3) else None
                    )

    def _ranges(self, book: Any, sheet: Any, index: int) -> None:
        pick = self._random
        red = book.add_format({"bg_color": "#FFAAAA"})
        for _ in range(pick.randint(0, 3)):
            top, bottom = self._rows()
            sheet.conditional_format(f"A{top}:C{bottom}", self._condition(red))
        for number in range(pick.randint(0, 2)):
            top, bottom = self._rows()
            source = f"={quote_sheetname(pick.choice(self._sheets))}!$A$2:$A${self._row() + 1}"
            # references to other sheets only: LibreOffice reads those without a sheet as cells of the following sheet
            own = self._fixed(sheet.get_name())
            rules = [{"validate": "list", "source": source}, {"validate": "custom", "value": f"={own}>1"},
                     {"validate": "integer", "criteria": "between", "minimum": f"={own}", "maximum": 9}]  # fmt: skip
            sheet.data_validation(f"{'DE'[number]}{top}:{'DE'[number]}{bottom}", pick.choice(rules))
        if self._maybe():
            top = pick.randint(1, _ROWS)
            sheet.merge_range(f"P{top}:Q{top + pick.randint(0, 3)}", "merged", red)
        if self._maybe():
            sheet.print_area(f"A1:J{pick.randint(5, _ROWS)}")
        if self._maybe():
            sheet.repeat_rows(0, pick.randint(0, 2))
        sheet.set_h_pagebreaks(sorted(pick.sample(range(2, _ROWS), pick.randint(0, 2))))
        if self._maybe():
            sheet.freeze_panes(pick.randint(1, 5), 1)
        if self._maybe():
            top = pick.randint(1, _ROWS)
            table = f"Table_{index}"
            columns = [{"header": "one"}, {"header": "two"}]
            sheet.add_table(f"S{top}:T{top + pick.randint(2, 8)}", {"name": table, "columns": columns})
            self._tables.append(table)
        elif self._maybe():
            sheet.autofilter(f"A{pick.randint(1, 3)}:F{pick.randint(8, _ROWS)}")

    def _condition(self, look: Any) -> dict[str, Any]:
        return self._random.choice([
            {"type": "cell", "criteria": ">", "value": f"={self._cell()}", "format": look},
            {"type": "formula", "criteria": f"={self._cell()}>SUM($A$2:$A${self._row() + 1})", "format": look},
            {"type": "3_color_scale", "mid_type": "formula", "mid_value": f"=$B${self._row()}"},
            {"type": "data_bar", "data_bar_2010": True},
            {"type": "top", "value": 3, "format": look},
            {"type": "cell", "criteria": "between", "minimum": 1, "maximum": f"={self._cell()}", "format": look},
        ])  # fmt: skip

    def _objects(self, book: Any, sheet: Any) -> None:
        pick = self._random
        if self._maybe():
            chart, source = book.add_chart({"type": pick.choice(["column", "line", "pie"])}), pick.choice(self._sheets)
            top, bottom = self._rows()
            quoted = quote_sheetname(source)
            chart.add_series({
                "categories": f"={quoted}!$A${top}:$A${bottom}", "values": f"={quoted}!$C${top}:$C${bottom}",
                "name": f"={quoted}!$B${self._row()}",
            })  # fmt: skip
            sheet.insert_chart(pick.randint(0, _ROWS), 21, chart, {"object_position": pick.choice([1, 2, 3])})
        for number in range(pick.randint(0, 2)):
            data = io.BytesIO(png(60, 80 + 40 * number, (200, 30, 30)))
            place = {"image_data": data, "object_position": pick.choice([1, 2, 3]), "y_offset": 5}
            sheet.insert_image(pick.randint(0, _ROWS), 30 + 2 * number, f"{number}.png", place)
        if self._maybe(0.3):
            sheet.insert_textbox(pick.randint(0, _ROWS), 35, "a text", {"object_position": pick.choice([1, 2])})
        for row in pick.sample(range(_ROWS), pick.randint(0, 2)):
            sheet.write_comment(row, 17, f"comment {row}")
        if self._maybe():
            sheet.write_url(
                self._row() - 1, 17, f"internal:{quote_sheetname(pick.choice(self._sheets))}!A{self._row()}"
            )
        if self._maybe():
            sheet.write_url(_ROWS, 17, "https://example.org/a")
        if self._maybe():
            source = quote_sheetname(pick.choice(self._sheets))
            sheet.add_sparkline(self._row() - 1, 18, {"range": f"{source}!A{self._row()}:F{_ROWS}"})
