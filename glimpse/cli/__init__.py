"""The command line: one small file per command, and one place that turns errors into exit codes.

Exit codes: 0 done (with hits, for a search; with groups, for dupes), 1 none, 2 an error, 130 interrupted.
"""

import os
import sys

import click

import glimpse
from core.errors import GlimpseError, QuerySyntaxError
from glimpse.cli.backup import backup
from glimpse.cli.demo import demo
from glimpse.cli.doctor import doctor
from glimpse.cli.dupes import dupes
from glimpse.cli.index import index
from glimpse.cli.info import info
from glimpse.cli.learn_sound import learn_sound
from glimpse.cli.models import models
from glimpse.cli.prune import prune
from glimpse.cli.search import search
from glimpse.cli.similar import similar
from glimpse.cli.status import status
from glimpse.cli.tag import tag

DONE, NO_HITS, FAILED, INTERRUPTED = 0, 1, 2, 130


class InOrder(click.Group):
    """A group that lists its commands in the order one needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order they were added."""
        return list(self.commands)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(glimpse.__version__, prog_name="glimpse", message="%(prog)s %(version)s")
def cli() -> None:
    """Search your own photos with words, pictures and tags. Nothing leaves this machine.

    \b
    Begin with:  glimpse demo
    Then:        glimpse index ~/Pictures
                 glimpse search 'a dog on the beach'
    """


for command in (index, search, similar, tag, dupes, learn_sound, info, status, models, prune, backup, doctor, demo):
    cli.add_command(command)


def main() -> None:
    """Run the command line, and end with one clear line if it cannot be done."""
    sys.exit(run())


def run() -> int:
    """Run the command line and return the exit code."""
    try:
        code = cli.main(prog_name="glimpse", standalone_mode=False)
        return code if isinstance(code, int) else DONE
    except click.ClickException as error:
        from glimpse.render import plain

        # A file may be called like an option, and `glimpse tag *` names it.
        error.message = plain(error.message)  # type: ignore[misc]
        error.show()
        return FAILED
    except QuerySyntaxError as error:
        from glimpse.pointing import pointed

        return _fail(*pointed(error))
    except GlimpseError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted")
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("GLIMPSE_DEBUG"):
            raise
        return _fail(f"unexpected {type(error).__name__}: {error} (to see where, set GLIMPSE_DEBUG=1 and run again)")


def _fail(message: str, *more: str) -> int:
    from glimpse.render import note

    for line in (f"glimpse: {message}", *more):
        note(line)
    return FAILED
