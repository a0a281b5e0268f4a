# SPDX-License-Identifier: GPL-2.0-or-later
"""Each kernel of the catalogue gets to user space, can hibernate, and has both serial ports.

Needs the kernels built: builds what the cache lacks, so the first run takes minutes.
"""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from kernel import KernelUnderTest, build, extract, fetch_package, host_suite, load
from kernel.catalogue import Row

# Stock kernels and flavours are for `jumpback test --all`.
ROWS = [
    pytest.param(row, id=row.name, marks=[pytest.mark.full] if row.flavour else [])
    for row in load()
]
BOOT_LIMIT = 90  # seconds; about 3 on an idle machine
QEMU = {"x86_64": "qemu-system-x86_64", "i386": "qemu-system-i386"}
INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
exec 3<>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo
echo ready >&3
read line <&3
echo "heard $line" >&3
echo "REPORT release=$(uname -r) machine=$(uname -m) cpus=$(nproc)"
echo "REPORT state=$(cat /sys/power/state) disk=$(cat /sys/power/disk)"
echo "REPORT swap=$(cat /sys/block/vda/size) console=$(cat /proc/consoles)"
poweroff -f
"""


def newc(files: dict[str, tuple[int, bytes]]) -> bytes:
    """An initramfs of name → (mode, data).

    Documentation/driver-api/early-userspace/buffer-format.rst
    """
    out = bytearray()
    for number, (name, (mode, data)) in enumerate({**files, "TRAILER!!!": (0, b"")}.items(), 1):
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def initramfs(arch: str, folder: Path) -> Path:
    deb = fetch_package("busybox-static", host_suite(), arch)
    extract(deb, folder / "busybox")
    busybox = (folder / "busybox/bin/busybox").read_bytes()
    tree = {name: (0o040755, b"") for name in ("bin", "dev", "proc", "sys")}
    image = newc({**tree, "bin/busybox": (0o100755, busybox), "init": (0o100755, INIT.encode())})
    path = folder / "initramfs"
    path.write_bytes(image)
    return path


def boot(kernel: KernelUnderTest, initrd: Path, folder: Path) -> tuple[str, str]:
    """Boots with two CPUs; returns the console's text and the answer on the second port."""
    (folder / "swap").write_bytes(b"")
    with (folder / "swap").open("r+b") as disk:
        disk.truncate(1 << 20)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "ttyS1"))
        listener.listen()
        listener.settimeout(BOOT_LIMIT)
        command = [QEMU[kernel.arch], "-accel", "tcg", "-M", "q35", "-cpu", "max"]
        command += ["-m", "256", "-smp", "2", "-display", "none", "-nodefaults"]
        command += ["-kernel", str(kernel.bzimage), "-initrd", str(initrd)]
        command += ["-append", "console=ttyS0 quiet nokaslr panic=-1 rdinit=/init"]
        command += ["-serial", f"file:{folder / 'console'}"]
        command += ["-serial", f"unix:{folder / 'ttyS1'}"]
        command += ["-drive", f"if=virtio,format=raw,file={folder / 'swap'}", "-no-reboot"]
        with subprocess.Popen(command) as machine:
            try:
                line, _ = listener.accept()
                with line, line.makefile("rw") as text:
                    line.settimeout(BOOT_LIMIT)
                    assert text.readline() == "ready\n"
                    print("hello", file=text, flush=True)
                    answer = text.readline()
                    machine.wait(BOOT_LIMIT)
            finally:
                machine.kill()
    return (folder / "console").read_text(errors="replace"), answer


@pytest.mark.boots
@pytest.mark.network
@pytest.mark.timeout(1800)  # a kernel that is not in the cache is built first
@pytest.mark.parametrize("row", ROWS)
def test_boots_with_hibernation_and_two_serial_ports(row: Row, tmp_path: Path) -> None:
    kernel = build(row)
    console, answer = boot(kernel, initramfs(row.arch, tmp_path), tmp_path)
    machine = {"x86_64": "x86_64", "i386": "i686"}[row.arch]
    assert answer == "heard hello\n", console
    assert f"REPORT release={kernel.release} machine={machine} cpus=2" in console
    assert "REPORT state=freeze mem disk disk=[platform] shutdown reboot" in console
    assert "REPORT swap=2048 console=ttyS0" in console
