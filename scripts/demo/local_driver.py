# SPDX-License-Identifier: MIT
"""How the demo and the bench call berth-driver: configuration for the 'local' backend."""

CONFIG = """\
# The driver's 'local' backend: the task is a process of this machine.
Backend = "local"
LogLevel = "info"

[TaskMetadata]
Directory = "{scratch}/metadata"

[Local]
Directory = "{scratch}/tasks"
"""


def driver_command(program, scratch):
    """Writes a configuration below 'scratch'; returns the words in front of the stage's name."""
    config = scratch / "fargate.toml"
    config.write_text(CONFIG.format(scratch=scratch))
    return [str(program), "--config", str(config), "custom"]
