"""`lab draw`: pictures of paths, networks, reachability and routes."""

from __future__ import annotations

import logging
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from lab.cli.common import check_ports, complete_file_or_lab, console, phase_or_at_option

if TYPE_CHECKING:
    from lab.report.diagram import Diagram, Scene

BINARY = ("png", "pdf")
STDOUT = Path("-")
FORMATS = ("svg", "png", "pdf", "mmd", "drawio", "txt")
EPILOG = """\b
Formats, by the suffix of -o: svg (web, tickets), png, pdf (slides, print), mmd (Mermaid for Markdown), drawio, txt.
\b
Examples:
  lab draw calico-24-mismatch --trace c1-w1-a c2-w1-a --phase broken -o path.svg
  lab draw calico-24-mismatch --trace c1-w1-a c2-w1-a --compare broken fixed -o change.png
  lab draw calico-24-mismatch@broken --trace c1-w1-a service/nginx --proto tcp
  sudo lab draw calico-24-mismatch@broken --trace c1-w1-a c2-w1-a --observe -o seen.svg
  lab draw two-clusters -o map.pdf
  lab draw calico-24-mismatch@broken --matrix -o reach.svg
  lab draw calico-24-mismatch@broken --routes c1-w1 -o routes.svg
"""


@click.command("draw", epilog=EPILOG)
@click.argument("file", metavar="FILE|LAB", shell_complete=complete_file_or_lab)
@click.option("--trace", "ends", nargs=2, metavar="FROM TO", help="The path of a packet, and of what it causes.")
@click.option("--matrix", is_flag=True, help="Who reaches whom, as a heat map with reasons.")
@click.option("--routes", metavar="NODE", help="The routes of a node: which prefix wins where.")
@phase_or_at_option
@click.option("--compare", nargs=2, metavar="A B", help="Two phases in one picture: what is gone, what is new, what has changed.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="The file to write, `-` for standard output; by default text on the terminal.",
)
@click.option("--as", "form", type=click.Choice(FORMATS), help="The format, where the suffix of the file does not say it.")
@click.option("--proto", type=click.Choice(["icmp", "tcp", "udp"]), default="icmp", show_default=True)
@click.option("--dport", type=click.IntRange(1, 65535), help="Destination port; by default 80 for tcp, 53 for udp.")
@click.option("--size", type=click.IntRange(28, 65535), help="Length of the IP packet in bytes.")
@click.option("--df/--no-df", default=None, help="Forbid, or allow, fragmentation; by default as sockets do.")
@click.option(
    "--ipv6",
    "-6",
    is_flag=True,
    help="With --trace TO's IPv6 address, where it is a name; with --matrix and --routes IPv6 in place of IPv4.",
)
@click.option("--observe", is_flag=True, help="With --trace: build the network, send the packet, and say where it was seen.")
@click.option("--from", "sources", multiple=True, help="With --matrix: only this sender (may be repeated).")
@click.option("--to", "targets", multiple=True, help="With --matrix: only this receiver (may be repeated).")
@click.option("--dark", is_flag=True, help="PNG and PDF for dark slides. SVG follows the reader's system by itself.")
def command(
    file: str,
    ends: tuple[str, str] | None,
    matrix: bool,
    routes: str | None,
    phase: str | None,
    compare: tuple[str, str] | None,
    output: Path | None,
    form: str | None,
    proto: str,
    dport: int | None,
    size: int | None,
    df: bool | None,
    ipv6: bool,
    observe: bool,
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    dark: bool,
) -> None:
    """Draw a network, or with --trace the path of a packet in it, with the place where it ends and the reason. Needs no privileges and no
    Linux, unless it is to be observed. Whatever is in several phases of a scenario is at the same place in each of their pictures.

    FILE is a topology, a scenario, a saved state, or the name of a running lab.
    """
    from lab.api.pictures import draw_map, draw_matrix, draw_path, draw_routes

    ends, compare = ends or None, compare or None
    if sum((ends is not None, matrix, routes is not None)) > 1:
        raise click.UsageError("--trace, --matrix and --routes are pictures of their own: ask for one at a time")
    if compare is not None and (ends is None or phase is not None):
        raise click.UsageError("--compare goes with --trace, and in place of --phase")
    if observe and (ends is None or compare is not None):
        raise click.UsageError("--observe goes with --trace, and with one phase")
    if (sources or targets) and not matrix:
        raise click.UsageError("--from and --to go with --matrix")
    given = click.get_current_context().get_parameter_source("proto") is ParameterSource.COMMANDLINE
    if (given or dport is not None) and ends is None and not matrix:
        raise click.UsageError("--proto and --dport go with --trace or --matrix")
    if (size is not None or df is not None) and ends is None:
        raise click.UsageError("--size and --df go with --trace")
    if ipv6 and ends is None and not matrix and routes is None:
        raise click.UsageError("--ipv6 goes with --trace, --matrix or --routes")
    check_ports(proto, dport=dport)
    chosen = _format(output, form)
    if dark and chosen not in BINARY:
        raise click.UsageError("--dark goes with png and pdf; svg follows its reader's system by itself, and the others have no colours")
    if output == STDOUT:
        output = None
    if output is None and chosen in BINARY and sys.stdout.isatty():
        raise click.UsageError(f"a terminal shows no {chosen}: name a file with -o, or send it into one")
    if ends is None and chosen in ("mmd", "txt") and (output is not None or form is not None):
        raise click.UsageError(
            f"a {'Mermaid chart' if chosen == 'mmd' else 'text'} shows a path: add --trace FROM TO, or ask for svg, png or pdf"
        )
    if output is not None:
        from lab.spec.writing import check_writable

        check_writable(output)
    if ends is not None:
        diagram = draw_path(file, *ends, proto, dport, phase=phase, compare=compare, size=size, df=df, ipv6=ipv6, observe=observe)  # type: ignore[arg-type]
        shown = phase or (file.partition("@")[2] or None)
        front = f"{compare[0]} → {compare[1]}" if compare is not None else diagram.view(shown).name
        _write(diagram.scene, diagram, front, chosen, output, dark=dark)
        return
    if routes is not None:
        scene = draw_routes(file, routes, phase, ipv6=ipv6)
    elif matrix:
        with _waiting("asking every sender about every receiver"):
            scene = draw_matrix(file, phase, proto, dport, sources=sources, targets=targets, ipv6=ipv6)  # type: ignore[arg-type]
    else:
        scene = draw_map(file, phase)
    _write(scene, None, None, chosen, output, dark=dark)


def _waiting(what: str) -> AbstractContextManager[object]:
    """Say on a terminal what takes some seconds, while it does."""
    told = console(stderr=True)
    return told.status(what) if told.is_terminal else nullcontext()


def _format(output: Path | None, form: str | None) -> str:
    """Return the format of the picture. Raises UsageError for a suffix that names none."""
    if form is not None:
        return form
    if output is None or output == STDOUT:
        return "txt"
    suffix = output.suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        from lab.errors import did_you_mean

        raise click.UsageError(f"{str(output)!r} names no format by its suffix: {did_you_mean(suffix, FORMATS, 'format')} (or say --as)")
    return suffix


def _write(scene: Scene, diagram: Diagram | None, phase: str | None, form: str, output: Path | None, *, dark: bool) -> None:
    if form == "txt" and output is None:
        _show(scene, diagram, phase)
        return
    drawn = _drawn(scene, diagram, phase, form, dark=dark)
    if output is not None:
        from lab.spec.writing import write_whole

        write_whole(output, drawn)
    elif isinstance(drawn, bytes):
        sys.stdout.buffer.write(drawn)
    else:
        click.echo(drawn, nl=False)


def _drawn(scene: Scene, diagram: Diagram | None, phase: str | None, form: str, *, dark: bool) -> str | bytes:
    if form in BINARY:
        logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it keeps its cache is nobody's concern
        from lab.report.diagram.as_image import image

        return image(scene, phase, format=form, dark=dark)  # type: ignore[arg-type]
    from lab.report.diagram import drawio, mermaid, svg, text

    if form == "svg":
        return svg(scene, phase)
    if form == "drawio":
        return drawio(scene, phase)
    assert diagram is not None
    return mermaid(diagram, phase) if form == "mmd" else text(diagram, phase)


def _show(scene: Scene, diagram: Diagram | None, phase: str | None) -> None:
    """Print a path as text; of other pictures what they say."""
    from lab.report.diagram import rich_text

    out = console()
    if diagram is None:
        out.print(scene.title, style="bold", markup=False)
        for line in scene.ground.description.split("\n"):
            out.print(line, markup=False)
        return
    title = diagram.view(phase).title if phase in diagram.ways else ""
    out.print(f"{phase}: {title}".rstrip(": "), style="bold", markup=False)
    out.print(rich_text(diagram, phase, width=out.width))
