"""The book of notifications, in a file and, as far as the core goes, in a server."""

from pathlib import Path

from book_cases import BookCases
from file_as_server import use_file


class TestBookInAFile(BookCases):
    def root(self, place: Path) -> Path:
        return place


class TestBookInAServer(BookCases):
    def root(self, place: Path) -> Path:
        return use_file(place)
