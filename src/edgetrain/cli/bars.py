"""Progress bars: one live display on stderr for all that are open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..reporting import Piece, Progress
from .text import number_text, printable
from .time_left import TimeLeft

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import Task, TaskID

# Below, a bar gives its place to the numbers.
_NARROW, _WIDE = 70, 110


class Bars:
    """The bars that are open, each inside of the one before it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._display: RichProgress | None = None
        self._open: list[Bar] = []

    @contextmanager
    def bar(self, description: str, total: int | Sequence[Piece] | None) -> Iterator[Progress]:
        """A further bar, for as long as the context lasts."""
        with self._shared_display() as display:
            left = TimeLeft(total)
            counted = total is None or isinstance(total, int)
            task = display.add_task(
                printable(description),
                total=len(total) if not (total is None or isinstance(total, int)) else total,
                shown=[],
                left=left,
                counted=counted,
            )
            bar = Bar(display, task, left)
            if self._open:
                self._open[-1].left.contain(left)
            self._open.append(bar)
            try:
                yield bar
            finally:
                self._open.remove(bar)
                display.remove_task(task)

    @contextmanager
    def _shared_display(self) -> Iterator[RichProgress]:
        """One for all bars: a terminal can't hold two, and stages may nest theirs."""
        if self._display is not None:
            yield self._display
            return
        with _display(self._console) as self._display:
            try:
                yield self._display
            finally:
                self._display = None


class Bar(Progress):
    """One line of the live display."""

    def __init__(self, display: RichProgress, task: TaskID, left: TimeLeft) -> None:
        self._display = display
        self._task = task
        self.left = left

    def advance(self, steps: int = 1, **fields: float | str) -> None:
        self.left.advance(steps)
        update: dict[str, Any] = {"shown": _shown(fields)} if fields else {}
        self._display.update(self._task, advance=steps, **update)


def duration_text(seconds: float | None) -> str:
    """A time as 0:12 or 1:02:03; a dash where it isn't known."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _display(console: Console) -> RichProgress:
    from rich.progress import BarColumn, ProgressColumn
    from rich.progress import Progress as RichBars
    from rich.table import Column as TableColumn
    from rich.text import Text

    class Words(ProgressColumn):
        """Text that ends early where there is no room."""

        def __init__(self, show: Any) -> None:
            super().__init__()
            self._show = show

        def render(self, task: Task) -> Text:
            return Text(self._show(task), no_wrap=True, overflow="ellipsis")

    class Numbers(Words):
        """Text that is shown whole."""

        def get_table_column(self) -> TableColumn:
            return TableColumn(no_wrap=True)

    class Filled(BarColumn):
        """By time where parts take unlike ones."""

        def render(self, task: Task) -> Any:
            bar = super().render(task)
            if not task.fields["counted"]:
                bar.total, bar.completed = 1.0, task.fields["left"].share
            return bar

    wide = console.width >= _NARROW
    columns: list[ProgressColumn] = [Words(lambda task: task.description)]
    if wide:
        columns.append(Filled(bar_width=40 if console.width >= _WIDE else 10))
    columns.append(Numbers(_count_text))
    if wide:
        columns.append(Numbers(lambda task: duration_text(task.elapsed)))
    columns += [
        Numbers(lambda task: f"{duration_text(task.fields['left'].seconds())} left"),
        Words(lambda task: " ".join(task.fields["shown"][: None if wide else 1])),
    ]
    return RichBars(
        *columns,
        console=console,
        transient=True,
        # stdout belongs to the result; a library that prints there must not end up in the bars.
        redirect_stdout=False,
    )


def _count_text(task: Task) -> str:
    if not task.fields["counted"]:
        return f"{100 * task.fields['left'].share:.0f} %"
    return f"{int(task.completed)}/{'?' if task.total is None else int(task.total)}"


def _shown(fields: Mapping[str, float | str]) -> list[str]:
    return [
        printable(f"{name}={number_text(value) if isinstance(value, float) else value}")
        for name, value in fields.items()
    ]
