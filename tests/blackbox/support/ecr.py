# SPDX-License-Identifier: MIT
"""ECR: moto behind a proxy that adds what ECR checks and moto does not.

Parts are consecutive and of at least 5 MiB but for the last, at most 20 MiB; a completed layer has
the digest that was named; PutImage needs its layers, its configuration and the images of an index,
and the digest of its bytes; tags can be immutable. .layers and .images are what a registry would
serve. once["Operation"] = [fault, ...] breaks the next calls of that operation (aws_faults.py).
"""

import base64
import json
import re

from support.aws_faults import AwsFaults
from support.registry import digest_of

LEAST, MOST = 5 << 20, 20 << 20


class Ecr(AwsFaults):
    def __init__(self, upstream, secrets):
        super().__init__(upstream, secrets=secrets)
        self.once, self.denied = {}, set()
        self.uploads, self.layers, self.images, self.tags = {}, {}, {}, {}
        self.immutable = False

    def operations(self):
        return [call.operation for call in self.calls]

    def count(self, operation):
        return self.operations().count(operation)

    def take(self, call):
        if call.operation in self.denied:
            return "code:400,AccessDeniedException"
        if self.once.get(call.operation):
            return self.once[call.operation].pop(0)
        problem = None
        if call.service == "ecr":
            check = getattr(self, "check_" + call.operation, None)
            problem = check and check(json.loads(call.body))
        return f"code:400,{problem}" if problem else super().take(call)

    def check_UploadLayerPart(self, request):
        data = base64.b64decode(request["layerPartBlob"], validate=True)
        parts = self.uploads.setdefault(request["uploadId"], [])
        if request["partFirstByte"] != sum(map(len, parts)):
            return "InvalidLayerPartException"
        if request["partLastByte"] - request["partFirstByte"] + 1 != len(data) or len(data) > MOST:
            return "InvalidLayerPartException"
        parts.append(data)
        return None

    def check_CompleteLayerUpload(self, request):
        parts = self.uploads.get(request["uploadId"])
        if not parts:
            return "EmptyUploadException"
        if any(len(part) < LEAST for part in parts[:-1]):
            return "LayerPartTooSmallException"
        data = b"".join(parts)
        if request["layerDigests"] != [digest_of(data)]:
            return "InvalidLayerException"
        self.layers[digest_of(data)] = data
        return None

    def check_PutImage(self, request):
        text = request["imageManifest"].encode()
        manifest = json.loads(text)
        if request.get("imageDigest", digest_of(text)) != digest_of(text):
            return "ImageDigestDoesNotMatchException"
        if (
            manifest.get("mediaType", request["imageManifestMediaType"])
            != (request["imageManifestMediaType"])
        ):
            return "InvalidParameterException"
        blobs = [*manifest.get("layers", []), *filter(None, [manifest.get("config")])]
        for blob in blobs:
            if len(self.layers.get(blob["digest"], b"")) != blob["size"]:
                return "LayersNotFoundException"
        for entry in manifest.get("manifests", []):
            if len(self.images.get(entry["digest"], b"")) != entry["size"]:
                return "ReferencedImagesNotFoundException"
        tag = request.get("imageTag")
        if tag and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", tag):
            return "InvalidParameterException"
        if self.immutable and self.tags.get(tag, digest_of(text)) != digest_of(text):
            return "ImageTagAlreadyExistsException"
        if digest_of(text) in self.images and self.tags.get(tag) == (
            digest_of(text) if tag else None
        ):
            return "ImageAlreadyExistsException"
        self.images[digest_of(text)] = text
        if tag:
            self.tags[tag] = digest_of(text)
        return None
