# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel source package in miniature: the builder's whole path in a fraction of a second."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

from kernel.cache import Cache
from kernel.catalogue import Row, Variant

# Recipes take the place of kbuild's. {pause} is what a test wants to happen in mid-build.
MAKEFILE = """\
tinyconfig:
\t@echo '# CONFIG_SWAP is not set' > $(O)/.config
\t@echo 'CONFIG_TINY=y' >> $(O)/.config
olddefconfig:
\t@sed -i /NO_SUCH/d $(O)/.config
bzImage:
\t@echo run >> {witness}/runs
\t@env > {witness}/environment
\t@echo '  CC      init/main.o'
\t@{pause}
\t@echo '  LD      vmlinux'
\t@mkdir -p $(O)/arch/x86/boot $(O)/include/config
\t@echo 'bzImage for $(ARCH)' > $(O)/arch/x86/boot/bzImage
\t@cat greeting > $(O)/vmlinux
\t@echo System.map > $(O)/System.map
\t@echo 9.9.1-jumpback > $(O)/include/config/kernel.release
"""
PACKAGE, SUITE, VERSION = "linux-source-9.9", "testing", "9.9.1-1"


@dataclass
class FakeKernel:
    """A row whose source package already lies in ``cache``; the mirror is never asked."""

    folder: Path
    cache: Cache

    @property
    def witness(self) -> Path:
        """Where the fake build leaves traces: "runs", "environment", and what a pause writes."""
        path = self.folder / "witness"
        path.mkdir(exist_ok=True)
        return path

    @property
    def runs(self) -> int:
        path = self.witness / "runs"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def row(self, fragment: str = "CONFIG_SWAP=y\n", patches: tuple[Path, ...] = ()) -> Row:
        path = self.folder / "fake.config"
        path.write_text(fragment)
        return Row("9.9", "x86_64", PACKAGE, (SUITE,), (path,), patches)

    def variant(self, identity: str, patch: str) -> Row:
        """The same kernel with one change."""
        path = self.folder / f"{identity}.patch"
        path.write_text(patch)
        variant = Variant(identity, "regression", "worse", "none", "jump-call", "P1", path)
        return replace(self.row(), variant=variant)

    def put_package(self, pause: str = "true", version: str = VERSION) -> Path:
        """Builds the .deb and records it as what the suite has."""
        content = self.folder / f"deb-{version}"
        (content / "DEBIAN").mkdir(parents=True)
        (content / "usr/src").mkdir(parents=True)
        (content / "DEBIAN/control").write_text(
            f"Package: {PACKAGE}\nVersion: {version}\nArchitecture: all\n"
            "Maintainer: nobody <nobody@example.org>\nDescription: fake\n"
        )
        files = {
            "Makefile": MAKEFILE.format(witness=self.witness, pause=pause),
            "greeting": "hello\n",
            "main.c": "int main(void) { return 0; }\n",
            "verse": "one\ntwo\nthree\nfour\nfive\nsix\nseven\n",
        }
        with tarfile.open(content / f"usr/src/{PACKAGE}.tar.xz", "w:xz") as tarball:
            for name, text in files.items():
                member = tarfile.TarInfo(f"{PACKAGE}/{name}")
                member.size = len(text)
                tarball.addfile(member, io.BytesIO(text.encode()))
        place = self.cache.folder("packages") / f"{PACKAGE}_{version}_all.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(content), str(place)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        record = {
            "name": PACKAGE,
            "version": version,
            "architecture": "all",
            "size": place.stat().st_size,
            "sha256": hashlib.sha256(place.read_bytes()).hexdigest(),
        }
        (place.parent / f"{PACKAGE}.{SUITE}.amd64.json").write_text(json.dumps(record))
        return place
