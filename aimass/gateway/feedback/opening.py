"""What a replica needs to write receipts and take feedback, put together and into its app."""

from aimass.core.clock import Clock
from aimass.core.settings import Settings
from aimass.gateway.app import GatewayApp
from aimass.gateway.feedback.desk import FeedbackDesk
from aimass.gateway.feedback.watching import ReceiptWatching
from aimass.metering.journal import Journal
from aimass.monitoring.feedback.book import Books
from aimass.monitoring.feedback.receipts import Receipts


class OpenFeedback:
    """Of one replica, until it is closed. Where no receipts are to be kept nothing is opened, and nothing costs."""

    def __init__(self, gateway: GatewayApp, settings: Settings, name: str, clock: Clock) -> None:
        self._books: Books | None = None
        self._closes: list[Books | Journal | Receipts] = []
        if settings.receipts_days == 0:
            return
        home = settings.home
        books, receipts, journal = Books(home.receipts), Receipts(home.receipts), Journal(home.feedback, name)
        watching = ReceiptWatching(books, clock)
        desk = FeedbackDesk(receipts, journal, clock, watching.flush, lambda: gateway.table)
        gateway.watching = (*gateway.watching, watching)
        gateway.feedback = desk.take
        self._books, self._watching = books, watching
        self._closes = [books, receipts, journal]

    @property
    def lost(self) -> int:
        """Receipts that the disk did not take, or that could not be made."""
        return self._books.lost if self._books is not None else 0

    def close(self) -> None:
        if self._closes:
            self._watching.flush()
        for item in self._closes:
            item.close()
