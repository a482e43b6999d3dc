"""The command that shows the runs of a home folder in the browser: view."""

# ruff: noqa: PLC0415  (commands import what they need)

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from lesion.cli.app import Home, Json, app, say


@app.command()
def view(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port. 0 takes a free one.")] = 0,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Show runs in the browser while they run and after: list, results, comparison. Read-only, this machine only."""
    from lesion.report.view.server import ADDRESS, listen, require_extra, serve

    require_extra()
    with listen(port) as on:
        address = f"http://{ADDRESS}:{on.getsockname()[1]}/"
        say({"address": address}, as_json, f"{address} shows the runs of {home.resolve()}; Ctrl-C ends it.")
        print(end="", flush=True)
        if show:
            webbrowser.open(address)
        try:
            serve(home, on)
        except KeyboardInterrupt:
            return 0
    return 0
