from docs_rooms import PICTURE, ROOMS_PAGE, picture, with_rooms


def test_the_page_shows_the_rooms_as_they_are() -> None:
    page = ROOMS_PAGE.read_text(encoding="utf-8")
    assert page == with_rooms(page), "python tests/docs/refresh.py writes it anew"


def test_the_picture_shows_the_imports_as_they_are() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture(), "python tests/docs/refresh.py draws it anew"
