"""Earshot from a terminal: the same lab as the app. `python lab.py --help` lists what it can do.

Exit status everywhere: 0 done, 1 the run did not finish, 2 the user's mistake (one line on stderr).
"""

from __future__ import annotations

import sys

import typer

from commands import data, machine, polyphonic, predict, run, scores, sql, study, sweep, train

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(train.train)
app.command(epilog=sweep.EXAMPLE)(sweep.sweep)
app.command()(study.study)
app.add_typer(sweep.app, name="sweeps", help="List sweeps, or act on one.")
app.command()(predict.predict)
app.command()(scores.evaluate)
app.command()(polyphonic.polyphonic)
app.command()(scores.runs)
app.command()(scores.leaderboard)
app.add_typer(run.app, name="run", help="Act on one run.")
app.add_typer(data.app, name="data", help="What data there is; add a folder, check it.")
app.command()(sql.sql)
app.command()(machine.doctor)


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit status 2."""
    try:
        status = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except (ValueError, typer.TyperException) as error:
        message = getattr(error, "format_message", error.__str__)()
        typer.echo(" ".join(message.split()), err=True)
        sys.exit(2)
    except OSError as error:  # a folder that is a file, not ours to write to, or on a full disk
        typer.echo(f"{error.strerror}: {error.filename}" if error.filename else str(error), err=True)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):  # before there was a run to stop
        typer.echo("Interrupted.", err=True)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
