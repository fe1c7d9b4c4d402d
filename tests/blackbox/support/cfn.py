# SPDX-License-Identifier: MIT
"""cfn-lint as a second judge of task definitions, after botocore's model and ecs_rules.py.

lint(request) returns its findings on what RegisterTaskDefinition is sent, as texts. A process of
its own costs over a second; lint several definitions in one call.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

# Their keys are the user's, not names of the interface.
MAPS = {"options", "dockerLabels", "driverOpts", "labels"}


def _camel(value, is_map=False):
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name if is_map else name[0].upper() + name[1:]: _camel(item, name in MAPS)
        for name, item in value.items()
    }


def template(*requests):
    """A CloudFormation template with these definitions."""
    resources = {
        f"Definition{number}": {"Type": "AWS::ECS::TaskDefinition", "Properties": _camel(request)}
        for number, request in enumerate(requests)
    }
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def lint(*requests):
    """Findings; empty if there are none."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "template.json"
        path.write_text(json.dumps(template(*requests)))
        done = subprocess.run(
            [Path(sys.executable).with_name("cfn-lint"), "--format", "json", path],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout, done.stderr
    return [
        f"{row['Rule']['Id']} {'/'.join(map(str, row['Location']['Path'] or []))}: {row['Message']}"
        for row in json.loads(done.stdout)
    ]
