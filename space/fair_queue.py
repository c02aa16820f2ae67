"""A round-robin queue of clients, so that one client's hundred requests do not delay another's single one."""

from collections.abc import Hashable, Iterator


class QueueFullError(ValueError):
    """Too many requests are waiting."""

    def __init__(self):
        super().__init__("the queue is full; try again in a few seconds")


class FairQueue:
    """Items of several shares; a share is a client and a kind of work. Not thread-safe: callers hold a lock."""

    def __init__(self):
        self._shares: dict[Hashable, dict[Hashable, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._shares.values()))

    def __iter__(self) -> Iterator[tuple[Hashable, Hashable]]:
        """(share, item): all items of the share whose turn it is, oldest first, then those of the next share."""
        for share, items in self._shares.items():
            for item in items:
                yield share, item

    def count(self, share: Hashable) -> int:
        """Number of waiting items of `share`."""
        return len(self._shares.get(share, ()))

    def add(self, share: Hashable, item: Hashable) -> None:
        """Append an item to its share."""
        self._shares.setdefault(share, {})[item] = None

    def remove(self, share: Hashable, item: Hashable) -> None:
        """Remove an item."""
        del self._shares[share][item]
        if not self._shares[share]:
            del self._shares[share]

    def take(self, share: Hashable, item: Hashable) -> None:
        """Remove an item to process it; its share moves to the end of the line."""
        self.remove(share, item)
        if share in self._shares:
            self._shares[share] = self._shares.pop(share)
