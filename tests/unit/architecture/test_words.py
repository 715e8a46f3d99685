"""Names have one meaning in a distribution, and a docstring says what a caller has to know."""

import ast
from collections import defaultdict
from collections.abc import Iterator

from import_graph import by_kind, distribution, modules, tree

SHORT_WORDS, MOST_SHORT = 4, 50
"""A docstring of so few words seldom says more than the name does; where it does, it may stay."""
ROLES = {"Config", "Options", "Inputs", "Outputs"}
"""What these are is told by the step or connector that they stand beside: they mean one thing each."""


def docstrings(tree: ast.AST) -> Iterator[str]:
    """All docstrings of a module: its own, those of classes and functions, those below fields."""
    for node in by_kind(tree)[ast.Expr]:
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield text


def test_docstrings_say_something() -> None:
    short = [
        f"{name}: {text}"
        for name, path in modules().items()
        for text in docstrings(tree(path))
        if len(text.split()) <= SHORT_WORDS
    ]
    assert len(short) <= MOST_SHORT, "\n".join(short)


def types(tree: ast.Module) -> Iterator[str]:
    """Names of the classes of a module, and of the types that it puts together; a variable of types is local."""
    yield from (node.name for node in by_kind(tree)[ast.ClassDef])
    for node in tree.body:
        match node:
            case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar" | "ParamSpec"))):
                continue
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if name[0].isupper() and not name.isupper():
                    yield name


def test_the_name_of_a_type_means_one_thing() -> None:
    places = defaultdict(list)
    for module, path in modules().items():
        for name in types(tree(path)):
            if name not in ROLES:
                places[distribution(module), name].append(module)
    assert {key: names for key, names in places.items() if len(names) > 1} == {}


def test_types_are_found() -> None:
    source = "class A:\n    class B: ...\nCd = Literal['x']\nDe: TypeAlias = int\nFOUR = 4\nOwnT = TypeVar('OwnT')\n"
    assert list(types(ast.parse(source))) == ["A", "B", "Cd", "De"]


def test_short_docstrings_are_found() -> None:
    source = '"""W."""\nclass A:\n    """The mark."""\n    x: int\n    """Its value."""\n'
    assert list(docstrings(ast.parse(source))) == ["W.", "The mark.", "Its value."]
