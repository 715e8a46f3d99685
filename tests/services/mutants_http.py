"""A sound HTTP connector of a stranger, and connectors like it with one fault each."""

from pathlib import Path
from typing import Any

import httpx

from aetherflow.core.api import ConnectorError, ConnectorInit, HttpConnector, UndecidedStepError
from aetherflow.core.testing import HttpSuite
from http_strangers import NoOptions, Place


class UnknownError(ConnectorError, UndecidedStepError):
    """The request was sent, and no response came."""

    code = UndecidedStepError.code


class Api(HttpConnector[Place, NoOptions]):
    """An HTTP API by httpx.

    resources:
      api: {kind: rest, driver: mutant, config: {base_url: "http://127.0.0.1"}}
    """

    requires = ("httpx",)
    follow = False

    def asked(self, method: str, url: str, **given: Any) -> httpx.Response:
        """Send it."""
        label = f"resource {self.name} ({self.kind}:{self.driver})"
        if self.authenticates(url):
            given["headers"] = {"Authorization": "Bearer t0ken", **(given.get("headers") or {})}
        with httpx.Client(base_url=self.conf.base_url, trust_env=False, follow_redirects=self.follow) as client:
            try:
                return client.request(method, url, **given)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise ConnectorError(f"{label}: {error}", fix="check base_url, and that the server runs") from error
            except httpx.TransportError as error:
                raise UnknownError(f"{label}: {error}", fix="look whether it was done") from error

    def authenticates(self, url: str) -> bool:
        """Whether the credentials go to this URL."""
        return "://" not in url or url.startswith(self.conf.base_url)

    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        return self.asked(method, url, **given)

    def probe(self) -> None:
        self.asked("HEAD", "/")


class ApiSuite(HttpSuite):
    def config(self, place: Path) -> dict[str, Any]:
        return {"base_url": self.url}

    def unreachable(self, place: Path) -> dict[str, Any]:
        return {"base_url": "http://127.0.0.1:1"}


class FollowsAbroad(Api):
    follow = True


class CredentialsForAll(Api):
    def authenticates(self, url: str) -> bool:
        return True


class DoublesAPost(Api):
    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        try:
            return self.asked(method, url, **given)
        except UnknownError:
            return self.asked(method, url, **given)


class RepeatsAnErrorStatus(Api):
    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        response = self.asked(method, url, **given)
        return self.asked(method, url, **given) if response.status_code >= 500 else response


class SaysThatNothingHappened(Api):
    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        try:
            return self.asked(method, url, **given)
        except UnknownError as error:
            raise ConnectorError("the connection broke") from error


class LosesHeaders(Api):
    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        return self.asked(method, url, **{**given, "headers": None})


class OneOfEachParameter(Api):
    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        params = given.get("params") or {}
        params = {name: value[-1] if isinstance(value, list) else value for name, value in params.items()}
        return self.asked(method, url, **{**given, "params": params})


class JsonAsForm(Api):
    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        if isinstance(given.get("json"), dict):
            given["data"] = given.pop("json")
        return self.asked(method, url, **given)


class EverythingIsPost(Api):
    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        return self.asked("POST" if method in {"PATCH", "PUT"} else method, url, **given)


class ErrorsAreSuccess(Api):
    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        response = self.asked(method, url, **given)
        response.status_code = min(response.status_code, 200)
        return response


class CutsTheBody(Api):
    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        response = self.asked(method, url, **given)
        if method != "HEAD":
            response._content = response.content[: 1 << 19]
        return response


class NotRead(Api):
    def __init__(self, init: ConnectorInit) -> None:
        super().__init__(init)
        self._open: list[httpx.Response | httpx.Client] = []

    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        client = httpx.Client(base_url=self.conf.base_url, trust_env=False)
        response = client.send(client.build_request(method, url, **given), stream=True)
        self._open += [response, client]
        return response

    def close(self) -> None:
        for each in self._open:
            each.close()


class AnswersForThePeer(Api):
    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        try:
            return self.asked(method, url, **given)
        except UnknownError:
            raise
        except ConnectorError:
            return httpx.Response(503, content=b"")


class PathsOnly(Api):
    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        return self.asked(method, f"/{url.lstrip('/')}", **given)


class BytesAsText(Api):
    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        if isinstance(given.get("content"), bytes):
            given["content"] = given["content"].decode("latin-1")
        return self.asked(method, url, **given)


class TellsSeveralLines(Api):
    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        try:
            return self.asked(method, url, **given)
        except ConnectorError as error:
            raise type(error)(f"it failed:\n{error}", fix="look") from error


SUITES: dict[type, tuple[type, str]] = {Api: (ApiSuite, "rest")}

CAUGHT_BY: dict[type[Api], str] = {
    FollowsAbroad: "test_another_host_gets_nothing_unasked",
    CredentialsForAll: "test_another_host_gets_nothing_unasked",
    DoublesAPost: "test_a_post_is_sent_once",
    RepeatsAnErrorStatus: "test_a_post_is_sent_once",
    SaysThatNothingHappened: "test_a_post_is_sent_once",
    LosesHeaders: "test_a_request_arrives_as_it_is[GET]",
    OneOfEachParameter: "test_a_request_arrives_as_it_is[GET]",
    JsonAsForm: "test_bodies",
    EverythingIsPost: "test_a_request_arrives_as_it_is[PUT]",
    ErrorsAreSuccess: "test_an_error_status_is_a_response_or_our_error[404]",
    CutsTheBody: "test_a_response_has_been_read",
    NotRead: "test_a_response_has_been_read",
    AnswersForThePeer: "test_an_unreachable_peer_is_an_error",
    PathsOnly: "test_absolute_urls",
    BytesAsText: "test_bodies",
    TellsSeveralLines: "test_an_unreachable_peer_is_an_error",
}
"""Each connector, and a test of its suite that fails for it."""
