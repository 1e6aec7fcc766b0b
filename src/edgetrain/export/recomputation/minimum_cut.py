"""The least that has to be kept so that all else can be made again: a minimum cut."""

from __future__ import annotations

from collections import deque

INFINITE = 1 << 62


class Network:
    """Edges with capacities between two ends, 0 and 1; further nodes are numbered from 2."""

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._left: list[int] = []
        self._edges: dict[int, list[int]] = {0: [], 1: []}

    def connect(self, start: int, end: int, capacity: int) -> None:
        """Adds an edge."""
        for a, b, room in ((start, end, capacity), (end, start, 0)):
            self._edges.setdefault(a, []).append(len(self._ends))
            self._ends.append(b)
            self._left.append(room)

    def behind_the_cut(self) -> set[int]:
        """The nodes on the side of 1, of the minimum cut that is nearest to it (Dinic, 1970)."""
        while (level := self._levels()).get(1) is not None:
            following = dict.fromkeys(self._edges, 0)
            while self._push(level, following):
                pass
        return self._reaching_the_end()

    def _levels(self) -> dict[int, int]:
        level = {0: 0}
        left = deque([0])
        while left:
            node = left.popleft()
            for edge in self._edges[node]:
                end = self._ends[edge]
                if self._left[edge] and end not in level:
                    level[end] = level[node] + 1
                    left.append(end)
        return level

    def _push(self, level: dict[int, int], following: dict[int, int]) -> bool:
        """Sends as much as one more path along rising levels takes; returns whether there was one."""
        path: list[int] = []
        node = 0
        while node != 1:
            edges = self._edges[node]
            while following[node] < len(edges):
                edge = edges[following[node]]
                if self._left[edge] and level.get(self._ends[edge]) == level[node] + 1:
                    break
                following[node] += 1
            else:
                if not path:
                    return False
                # A dead end: its edge isn't tried again.
                node = self._ends[path.pop() ^ 1]
                following[node] += 1
                continue
            path.append(edge)
            node = self._ends[edge]
        amount = min(self._left[edge] for edge in path)
        for edge in path:
            self._left[edge] -= amount
            self._left[edge ^ 1] += amount
        return True

    def _reaching_the_end(self) -> set[int]:
        found = {1}
        left = [1]
        while left:
            for edge in self._edges[left.pop()]:
                start = self._ends[edge]
                if self._left[edge ^ 1] and start not in found:
                    found.add(start)
                    left.append(start)
        return found
