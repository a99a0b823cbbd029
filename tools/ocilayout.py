#!/usr/bin/env python3
"""Writes images into an OCI layout, byte for byte the same for the same input.

usage: ocilayout.py LAYOUT NAME [--architecture A] [--variant V] [--config JSON]
                    --layer TREE_OR_TAR[:none|gzip|zstd]...
       ocilayout.py LAYOUT NAME --index NAME...     an index over images of the same layout

TREE is a folder (owner root, times 0); whiteouts are files called .wh.NAME. Prints the digest.
"""
import argparse
import gzip
import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
NAME = "org.opencontainers.image.ref.name"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layout:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.path = self.folder / "index.json"
        if not self.path.exists():
            self.path.write_text(json.dumps({"schemaVersion": 2, "manifests": []}))

    def add(self, data, media_type):
        digest = digest_of(data)
        path = self.folder / "blobs/sha256" / digest[7:]
        if not path.exists():
            path.write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def add_json(self, value, media_type):
        return self.add(json.dumps(value, sort_keys=True).encode(), media_type)

    def read(self, digest):
        return (self.folder / "blobs/sha256" / digest[7:]).read_bytes()

    def entries(self):
        return json.loads(self.path.read_text())["manifests"]

    def find(self, name):
        for entry in self.entries():
            if entry["annotations"][NAME] == name:
                return entry
        raise KeyError(name)

    def name(self, descriptor, name):
        rest = [e for e in self.entries() if e["annotations"][NAME] != name]
        rest.append({**descriptor, "annotations": {NAME: name}})
        self.path.write_text(json.dumps({"schemaVersion": 2, "manifests": rest}, indent=1))

    def add_image(self, name, layers, config=None, architecture="amd64", variant=None):
        """layers: (tar bytes, compression) each, lowest first."""
        platform = {"architecture": architecture, "os": "linux"}
        if variant:
            platform["variant"] = variant
        described = [self.add_layer(*layer) for layer in layers]
        diff_ids = [digest_of(tar) for tar, _ in layers]
        whole = {**platform, "config": config or {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                    "config": self.add_json(whole, CONFIG), "layers": described}
        descriptor = {**self.add_json(manifest, MANIFEST), "platform": platform}
        self.name(descriptor, name)
        return descriptor

    def add_layer(self, tar, compression):
        if compression == "gzip":
            return self.add(gzip.compress(tar, 1, mtime=0), LAYER + "+gzip")
        if compression == "zstd":
            packed = subprocess.run(["zstd", "-q", "-c"], input=tar, stdout=subprocess.PIPE, check=True)
            return self.add(packed.stdout, LAYER + "+zstd")
        return self.add(tar, LAYER)

    def add_index(self, name, names):
        entries = [{k: v for k, v in self.find(n).items() if k != "annotations"} for n in names]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        descriptor = self.add_json(index, INDEX)
        self.name(descriptor, name)
        return descriptor


def tar_of_tree(tree):
    """A tar of a folder's content whose bytes depend on names, modes and data only."""
    tree = pathlib.Path(tree)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(tree.rglob("*")):
            info = tar.gettarinfo(path, str(path.relative_to(tree)))
            info.uid = info.gid = info.mtime = 0
            info.uname = info.gname = ""
            if info.isreg():
                with path.open("rb") as data:
                    tar.addfile(info, data)
            else:
                tar.addfile(info)
    return out.getvalue()


def main():
    parser = argparse.ArgumentParser(description="Writes images into an OCI layout.")
    parser.add_argument("layout")
    parser.add_argument("name")
    parser.add_argument("--architecture", default="amd64")
    parser.add_argument("--variant")
    parser.add_argument("--config", type=json.loads, default={})
    parser.add_argument("--layer", action="append", default=[])
    parser.add_argument("--index", nargs="+")
    args = parser.parse_args()
    layout = Layout(args.layout)
    if args.index:
        descriptor = layout.add_index(args.name, args.index)
    else:
        layers = []
        for layer in args.layer:
            source, _, compression = layer.partition(":")
            path = pathlib.Path(source)
            tar = tar_of_tree(path) if path.is_dir() else path.read_bytes()
            layers.append((tar, compression or "gzip"))
        descriptor = layout.add_image(args.name, layers, args.config, args.architecture, args.variant)
    print(descriptor["digest"])


if __name__ == "__main__":
    sys.exit(main())
