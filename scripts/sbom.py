# SPDX-License-Identifier: MIT
"""What the programs contain besides our own sources: the static libraries of deps/sources.lock.

Usage: sbom.py bom VERSION COMMIT EPOCH     prints a CycloneDX 1.5 list
       sbom.py copyright TARBALLS           prints our licence and those of the libraries

A library without a row here is an error.
"""

import json
import sys
import tarfile
import uuid
from datetime import UTC, datetime
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
# SPDX expression, and the file of the tarball that holds the text.
LICENCES = {
    "musl": ("MIT", "COPYRIGHT"),
    "openssl": ("Apache-2.0", "LICENSE.txt"),
    "libsodium": ("ISC", "LICENSE"),
    "libssh": ("LGPL-2.1-or-later", "COPYING"),
    "cjson": ("MIT", "LICENSE"),
    "expat": ("MIT", "expat/COPYING"),
    "curl": ("curl", "COPYING"),
}
IN_AGENT = {"musl", "openssl", "libsodium", "libssh"}


def libraries():
    """(name, version, tarball, SHA-256, address) of each pinned library."""
    lines = (TOP / "deps/sources.lock").read_text().splitlines()
    found = [line.split() for line in lines if line[:1].isalpha()]
    missing = {name for name, *_ in found} ^ set(LICENCES)
    if missing:
        sys.exit(
            f"sbom: scripts/sbom.py and deps/sources.lock differ: {', '.join(sorted(missing))}"
        )
    return found


def component(name, version, _, sha256, address):
    return {
        "bom-ref": f"pkg:generic/{name}@{version}",
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:generic/{name}@{version}",
        "scope": "required",
        # 'curl' is an identifier of SPDX; an expression would not need to be one.
        "licenses": [{"license": {"id": LICENCES[name][0]}}],
        "hashes": [{"alg": "SHA-256", "content": sha256}],
        "externalReferences": [
            {
                "type": "distribution",
                "url": address,
                "hashes": [{"alg": "SHA-256", "content": sha256}],
            }
        ],
    }


def bom(version, commit, epoch):
    components = [component(*library) for library in libraries()]
    refs = {part["name"]: part["bom-ref"] for part in components}
    programs = {"berth-agent": sorted(IN_AGENT), "berth-driver": sorted(refs)}
    identity = json.dumps([version, commit, components])
    own = {"bom-ref": "berth", "type": "application", "name": "berth", "version": version}
    made = [
        {"bom-ref": name, "type": "application", "name": name, "version": version}
        for name in programs
    ]
    licence = [{"license": {"id": "MIT"}}]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, identity)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": own
            | {"licenses": licence, "properties": [{"name": "berth:commit", "value": commit}]},
        },
        "components": [part | {"licenses": licence} for part in made] + components,
        "dependencies": [{"ref": "berth", "dependsOn": list(programs)}]
        + [
            {"ref": program, "dependsOn": [refs[name] for name in names]}
            for program, names in programs.items()
        ],
    }


def licence_text(tarballs, name, tarball):
    with tarfile.open(tarballs / tarball) as archive:
        for member in archive:
            if member.name.partition("/")[2] == LICENCES[name][1]:
                return archive.extractfile(member).read().decode("utf-8", "replace")
    sys.exit(f"sbom: no {LICENCES[name][1]} in {tarball}")


def copyright_texts(tarballs):
    out = "Berth\n\n" + (TOP / "LICENSE").read_text()
    out += (
        "\nThe programs contain these libraries, berth-agent only those marked *. Their licences\n"
    )
    out += "follow; deps/sources.lock in Berth's sources pins their sources, which build them.\n\n"
    found = libraries()
    for name, version, _, _, address in found:
        mark = "*" if name in IN_AGENT else " "
        out += f"  {mark} {name} {version} ({LICENCES[name][0]})\n      {address}\n"
    for name, version, tarball, *_ in found:
        out += f"\n{'=' * 79}\n{name} {version}\n{'=' * 79}\n\n"
        out += licence_text(tarballs, name, tarball).rstrip() + "\n"
    return out


def main():
    if sys.argv[1:2] == ["bom"] and len(sys.argv) == 5:
        print(json.dumps(bom(*sys.argv[2:]), indent=2))
    elif sys.argv[1:2] == ["copyright"] and len(sys.argv) == 3:
        sys.stdout.write(copyright_texts(Path(sys.argv[2])))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
