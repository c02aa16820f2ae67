"""A button that starts an expensive job, and one that cancels it."""

from collections.abc import Callable, Iterator

import gradio as gr

from album_gan.space.job_queue import Job

POLL_INTERVAL = 0.5  # seconds between checks whether a waiting job was cancelled


class JobButton:
    """A button that starts a job, and one that cancels it."""

    def __init__(self, text: str, elem_id: str):
        self.button = gr.Button(text, variant="primary", elem_id=elem_id)
        self.cancel = gr.Button("Cancel", elem_id=f"{elem_id}-cancel", elem_classes="cancel")
        self._busy = f"() => albumGan.busy({elem_id!r}, %s)"  # in the browser; shows and hides Cancel

    def wire(self, handler: Callable, inputs: list, outputs: list, shown_on, also: tuple = ()) -> None:
        """Run `handler` on a click or an event of `also`."""
        # Registered first: gradio calls the listeners of a click one by one, and waits for each.
        self.button.click(None, js=self._busy % "true", api_visibility="private")
        job = gr.on(
            [self.button.click, *also],
            handler,
            inputs,
            outputs,
            api_visibility="private",
            concurrency_limit=None,  # `JobQueue` has the limits
            show_progress_on=shown_on,
        )
        for over in (job.success, job.failure):  # `then` of a browser-only listener does not run after an error
            over(None, js=self._busy % "false", api_visibility="private")
        self.cancel.click(None, js=self._busy % "false", cancels=[job], api_visibility="private")


def waiting(job: Job, progress: Callable) -> Iterator[None]:
    """Yield every `POLL_INTERVAL` until the job may run, so gradio can cancel it; `progress` shows its position."""
    while not job.wait(POLL_INTERVAL):
        progress(0, desc=f"Waiting: {job.ahead} ahead of you")
        yield
