"""Small changes to a module, each of which a test ought to notice."""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift,
}  # fmt: skip
CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}
LONGEST = 160


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    file: str
    function: str
    """`Class.method`, or `<module>`."""
    change: str
    """What stood there and what stands there now; `#2` follows where the same stands there twice."""
    line: int
    entry: tuple[str, int] | None
    """Qualified name and first line of the code that holds it; None where it is run by the import."""
    span: tuple[int, int]
    text: str

    @property
    def key(self) -> str:
        """What survives an edit elsewhere in the module: no line is in it."""
        return f"{self.function}: {self.change}"

    def apply(self, source: str) -> str:
        """The module with the change; no other line moves."""
        data = source.encode()
        return (data[: self.span[0]] + self.text.encode() + data[self.span[1] :]).decode()


class _Finder:
    def __init__(self, file: str, source: str) -> None:
        self._file = file
        self._starts = [0]
        for line in source.encode().splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._names: list[str] = []
        self._entry: tuple[str, int] | None = None
        self._seen: Counter[tuple[str, str]] = Counter()
        self._around: list[ast.AST] = []
        self.found: list[Mutant] = []

    def _add(self, old: ast.AST, new: str, *, statement: bool = False) -> None:
        assert isinstance(old, ast.stmt | ast.expr)
        assert old.end_lineno is not None
        assert old.end_col_offset is not None
        span = (
            self._starts[old.lineno - 1] + old.col_offset,
            self._starts[old.end_lineno - 1] + old.end_col_offset,
        )
        # as many lines as before: the code of all other functions is found again by its first line
        padding = "\n" * (old.end_lineno - old.lineno)
        function = ".".join(self._names) or "<module>"
        change = f"{_short(old)} -> {' '.join(new.split())}"
        if isinstance(old, ast.Constant) and (around := self._place()):
            change = f"{around}: {change}"
        self._seen[function, change] += 1
        if (number := self._seen[function, change]) > 1:
            change += f" #{number}"
        text = new + padding if statement else f"({new}{padding})"
        self.found.append(Mutant(self._file, function, change, old.lineno, self._entry, span, text))

    def _place(self) -> str:
        """The expression or simple statement that a constant is part of."""
        for node in reversed(self._around):
            if isinstance(node, ast.keyword | ast.expr) or (isinstance(node, ast.stmt) and not hasattr(node, "body")):
                return _short(node)
        return ""

    def walk(self, nodes: ast.AST | list[ast.stmt]) -> None:
        """Find the mutants of everything inside."""
        if isinstance(nodes, list):
            for node in nodes:
                self.visit(node)
            return
        self._around.append(nodes)
        for child in ast.iter_child_nodes(nodes):
            self.visit(child)
        self._around.pop()

    def visit(self, node: ast.AST) -> None:
        """Find the mutants of a node and of everything inside."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for default in [*node.args.defaults, *node.args.kw_defaults]:
                    if default is not None:
                        self.visit(default)
                self._inside(node)
            case ast.ClassDef():
                self._inside(node)
            case ast.AnnAssign():
                if node.value is not None:
                    self.visit(node.value)
            case ast.JoinedStr() | ast.Assert() | ast.Import() | ast.ImportFrom():
                pass  # positions in an f-string are wrong before Python 3.12; an assert is for the type checker
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                pass
            case _:
                self._mutate(node)
                self.walk(node)

    def _inside(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        entry, body = self._entry, node.body
        outer = f"{entry[0]}.<locals>." if entry else ".".join([*self._names, ""])
        around, self._around = self._around, []
        self._names.append(node.name)
        if not isinstance(node, ast.ClassDef):
            first = min(each.lineno for each in [node, *node.decorator_list])
            self._entry = (outer + node.name, first)
        elif entry:
            raise ValueError(f"{self._file}:{node.lineno}: a class inside a function is not provided for")
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body = body[1:]
        self.walk(body)
        self._names.pop()
        self._entry, self._around = entry, around

    def _mutate(self, node: ast.AST) -> None:
        if isinstance(node, ast.stmt):
            self._mutate_statement(node)
            return
        match node:
            case ast.Compare():
                for index, operator in enumerate(node.ops):
                    changed = copy.deepcopy(node)
                    changed.ops[index] = COMPARED[type(operator)]()
                    self._add(node, ast.unparse(changed))
            case ast.BoolOp():
                operator_ = ast.Or() if isinstance(node.op, ast.And) else ast.And()
                self._add(node, ast.unparse(ast.BoolOp(operator_, node.values)))
            case ast.UnaryOp(op=ast.Not()):
                self._add(node, ast.unparse(node.operand))
            case ast.BinOp() if type(node.op) in COMPUTED:
                self._add(node, ast.unparse(ast.BinOp(node.left, COMPUTED[type(node.op)](), node.right)))
            case ast.Constant(value=bool()):
                self._add(node, str(not node.value))
            case ast.Constant(value=int() | float() as number):
                self._add(node, repr(number + 1))
            case ast.Call(func=ast.Name(id=name)) if name in CALLED:
                self._add(node, ast.unparse(ast.Call(ast.Name(CALLED[name]), node.args, node.keywords)))
            case ast.IfExp() if isinstance(node.test, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr):
                self._add(node.test, f"not {ast.unparse(node.test)}")

    def _mutate_statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.Delete() | ast.Continue():
                self._add(node, "pass", statement=True)
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                self._add(node, "pass", statement=True)
            case ast.AugAssign():
                self._add(node, "pass", statement=True)
                if type(node.op) in COMPUTED:
                    changed = ast.AugAssign(node.target, COMPUTED[type(node.op)](), node.value)
                    self._add(node, ast.unparse(changed), statement=True)
            case ast.Return(value=ast.expr()) if not isinstance(node.value, ast.Constant):
                self._add(node, "return None", statement=True)
            case ast.If() | ast.While() if isinstance(node.test, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr):
                self._add(node.test, f"not {ast.unparse(node.test)}")


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def mutants(file: str, source: str) -> Iterator[Mutant]:
    """All mutants of a module that Python can compile."""
    tree = ast.parse(source)
    finder = _Finder(file, source)
    body = tree.body
    finder.walk(body[1:] if ast.get_docstring(tree) is not None else body)
    for mutant in finder.found:
        try:
            compile(mutant.apply(source), file, "exec", dont_inherit=True)
        except SyntaxError:
            continue
        yield mutant
