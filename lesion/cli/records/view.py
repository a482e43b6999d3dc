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
    model: Annotated[
        list[str] | None, typer.Option(help="A model folder whose attention can be looked at too. Repeatable.")
    ] = None,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Show runs in the browser while they run and after, and attention patterns. Read-only, this machine only."""
    from lesion.cli.records.text_reader import TextReader
    from lesion.report.view.server import ADDRESS, listen, require_extra, serve

    require_extra()
    reader = TextReader(model or [])
    with listen(port) as on:
        address = f"http://{ADDRESS}:{on.getsockname()[1]}/"
        say({"address": address}, as_json, f"{address} shows the runs of {home.resolve()}; Ctrl-C ends it.")
        print(end="", flush=True)
        if show:
            webbrowser.open(address)
        try:
            serve(home, on, reader)
        except KeyboardInterrupt:
            return 0
        finally:
            reader.close()
    return 0
