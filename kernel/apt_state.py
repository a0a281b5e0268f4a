# SPDX-License-Identifier: GPL-2.0-or-later
"""apt with a state of its own: the system's sources, lists and package database stay untouched.

The host's apt.conf.d and auth.conf.d do hold (proxies, certificates, passwords); what in them
would act on the host, or download more than package lists, is taken out again.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kernel.cache import Cache
from kernel.errors import PackageError
from kernel.progress import Progress
from kernel.sources import mirror_for, read_system_sources

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEB_ARCHITECTURE = {"x86_64": "amd64", "i386": "i386"}

_CONF = """\
Dir::State "{state}";
Dir::State::status "{state}/status";
Dir::Cache "{state}/cache";
Dir::Etc::sourcelist "{state}/jumpback.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
APT::Architecture "{architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
#clear APT::Default-Release;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Retries "3";
"""

# Check-Valid-Until: a mirror may stand still (a snapshot, a copy behind a firewall), and lists of
# sid expire within days. Signatures are checked all the same; an old list only names older kernels.
_STANZA = """\
Types: deb
URIs: {uri}
Suites: {suites}
Components: main
Architectures: {architecture}
Targets: Packages
Signed-By: {keyring}
Check-Valid-Until: no

"""


@dataclass(frozen=True)
class Candidate:
    """The version of a package that the suites have now."""

    name: str
    version: str
    architecture: str  # "all", "amd64", "i386"
    size: int  # bytes
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


class PrivateApt:
    """apt-get and apt-cache for one list of suites and one Debian architecture."""

    def __init__(self, cache: Cache, suites: tuple[str, ...], architecture: str) -> None:
        self.suites = suites
        self.architecture = architecture
        self.state = cache.folder("apt", f"{'+'.join(suites)}-{architecture}")
        self._conf = self.state / "apt.conf"

    def configure(self) -> None:
        """Writes sources and configuration anew, so that a changed system mirror is followed."""
        if not KEYRING.is_file():
            raise PackageError(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
        system = read_system_sources()
        by_mirror: dict[str, list[str]] = {}
        for suite in self.suites:
            by_mirror.setdefault(mirror_for(suite, system), []).append(suite)
        stanzas = [
            _STANZA.format(
                uri=uri,
                suites=" ".join(suites),
                architecture=self.architecture,
                keyring=KEYRING,
            )
            for uri, suites in by_mirror.items()
        ]
        for folder in ("lists/partial", "cache/archives/partial"):
            (self.state / folder).mkdir(parents=True, exist_ok=True)
        (self.state / "status").touch()
        (self.state / "jumpback.sources").write_text("".join(stanzas))
        self._conf.write_text(_CONF.format(state=self.state, architecture=self.architecture))

    def update(self, progress: Progress) -> None:
        """Fetches the package lists; PackageError if any suite's could not be had or trusted."""
        # Without the option apt-get exits 0 after a failed download and uses the old lists.
        command = ["apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any"]
        self._run(command, f"package lists of {', '.join(self.suites)}", progress)

    def candidate(self, name: str) -> Candidate | None:
        """The newest version of ``name`` in the lists at hand; None if they have none."""
        command = ["apt-cache", "-c", str(self._conf), "show", "--no-all-versions", name]
        shown = subprocess.run(command, capture_output=True, text=True, env=_environment())
        fields: dict[str, str] = {}
        for line in shown.stdout.splitlines():
            key, separator, value = line.partition(": ")
            if separator and not line.startswith(" "):
                fields.setdefault(key, value.strip())
        if shown.returncode != 0 or "Version" not in fields:
            return None
        return Candidate(
            name=name,
            version=fields["Version"],
            architecture=fields["Architecture"],
            size=int(fields["Size"]),
            sha256=fields["SHA256"],
        )

    def download(self, candidate: Candidate, folder: Path, progress: Progress) -> Path:
        """Downloads the package into ``folder``; apt checks it against the signed lists."""
        wanted = f"{candidate.name}={candidate.version}"
        title = f"{candidate.name} {candidate.version}, {candidate.size / 1e6:.0f} MB"
        self._run(["apt-get", "download", "-q", wanted], title, progress, cwd=folder)
        path = folder / candidate.file_name
        if not path.is_file():
            found = sorted(p.name for p in folder.iterdir())
            raise PackageError(f"apt-get download {wanted} left {found}, expected {path.name}")
        return path

    def _run(
        self, command: list[str], title: str, progress: Progress, cwd: Path | None = None
    ) -> None:
        full = [command[0], "-c", str(self._conf), "-o", "APT::Status-Fd=1", *command[1:]]
        progress.start(f"Downloading {title}", 100)
        said: list[str] = []
        shown = -1
        try:
            with subprocess.Popen(
                full,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                cwd=cwd,
                env=_environment(),
            ) as process:
                assert process.stdout is not None
                try:
                    for line in process.stdout:
                        # "dlstatus:<items done>:<percent>:<text>", apt's README.progress-reporting
                        kind, _, rest = line.partition(":")
                        if kind == "dlstatus":
                            percent = int(float(rest.split(":")[1]))
                            if percent != shown:
                                progress.update(percent)
                                shown = percent
                        elif line.startswith(("E:", "W:", "Err:")):
                            said.append(line.rstrip())
                except BaseException:
                    process.terminate()
                    raise
        except FileNotFoundError as error:
            raise PackageError(f"{command[0]} is missing: the rig runs on Debian") from error
        finally:
            progress.done()
        if process.returncode != 0:
            reason = "\n".join(f"    {line}" for line in said[-12:])
            raise PackageError(
                f"{' '.join(command[:2])} ({title}) failed with status {process.returncode}; "
                f"sources: {self.state / 'jumpback.sources'}. Is the mirror reachable?\n{reason}"
            )


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
