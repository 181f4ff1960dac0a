"""Requests that the page may make at another time or in another way."""

from http import HTTPStatus

from vosfw.errors import VosfwError


class Refused(VosfwError):  # noqa: N818
    """A request that is not done; the text says why and what to do.

    Args:
        text: For the page.
        status: Of the answer.
    """

    def __init__(self, text: str, status: HTTPStatus = HTTPStatus.CONFLICT) -> None:
        super().__init__(text)
        self.status = status
