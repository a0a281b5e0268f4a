# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback kernel``: the catalogue, what is built of it, and the user's own kernels."""

from __future__ import annotations

from pathlib import Path

import click

import kernel
from harness.progress import Progress
from kernel import cli_text

_ARCH = click.option(
    "--arch", type=click.Choice(["x86_64", "i386"]), default="x86_64", show_default=True
)


@click.group("kernel")
def kernel_group() -> None:
    """Build and list kernels under test.

    \b
    jumpback kernel list                     the catalogue, and what is built
    jumpback kernel build 6.1 --arch i386    download, patch, configure, build
    jumpback kernel check ~/src/linux        whether your own kernel has what the rig needs

    A later version comes by adding a row to kernel/catalogue.toml (docs/kernels.md).
    """


@kernel_group.command("build")
@click.argument("version", metavar="VERSION|all")
@_ARCH
@click.option("--jobs", "-j", type=click.IntRange(min=1), help="Default: one a core.")
def build_command(version: str, arch: str, jobs: int | None) -> None:
    """Build a kernel of the catalogue, or take it from the cache.

    The source comes from Debian's linux-source package, through the mirror that apt uses here but
    with an apt state of its own; signatures are checked. Prints where the kernel stands.
    """
    rows = kernel.load() if version == "all" else [kernel.find(version, arch)]
    with Progress() as progress:
        for row in rows:
            built = kernel.build(row, jobs=jobs, progress=progress)
            progress.done()
            click.echo(cli_text.details(built))


@kernel_group.command("list")
def list_command() -> None:
    """List the catalogue, and what is built of it."""
    click.echo(cli_text.table(kernel.list_kernels()))


@kernel_group.command("check")
@click.argument("path", type=click.Path(path_type=Path))
def check_command(path: Path) -> None:
    """Check a kernel build tree, or a folder with bzImage and vmlinux.

    What the rig needs and does not find in the config is named, with the line to set.
    """
    found = kernel.load_user_kernel(path)
    click.echo(cli_text.details(found))
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)


@kernel_group.command("prune")
@click.option("--all", "everything", is_flag=True, help="Current kernels and packages, too.")
def prune_command(everything: bool) -> None:
    """Remove outdated kernels, unpacked sources, and what interrupted builds left."""
    pruned = kernel.prune(everything=everything)
    click.echo(f"removed {len(pruned.paths)} item(s), {cli_text.size_text(pruned.size)}")
    for path in pruned.paths:
        click.echo(f"  {path}")
