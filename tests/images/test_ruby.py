# SPDX-License-Identifier: MIT
"""The runner image's step for Ruby compiles a real Ruby, and its bundler a gem with a C extension.

A step of its own, 'ruby', since it takes many minutes. Ruby 3.3.8 instead of 3.3.0, whose source
Debian does not carry, by the Dockerfile's own arguments.
"""

import subprocess

import pytest

import standins
from builder import Builder
from conftest import AGENT

TAG = "real-ruby-runner"
GEM = """
set -e
cd /tmp/gem
gem build --silent bcrypt.gemspec
mkdir -p /tmp/app/vendor/cache
mv bcrypt-*.gem /tmp/app/vendor/cache/
cd /tmp/app
printf 'source "https://rubygems.org"\\ngem "bcrypt"\\n' >Gemfile
bundle config set --local path vendor/bundle
bundle install --local
find vendor/bundle -name 'bcrypt_ext.so' | grep -q .
bundle exec ruby -e 'require "bcrypt"; puts BCrypt::Password.create("x") == "x"'
"""


@pytest.fixture(scope="module")
def image(engine):
    builder = Builder(engine)
    builder.bases()
    builder.agent_image(AGENT)
    archive, _ = standins.real_ruby()
    builder.runner(
        TAG,
        AGENT_IMAGE="berth-agent",
        RUBY_VERSION=standins.REAL_RUBY,
        RUBY_SHA256=standins.sha256(archive),
    )
    return TAG


def run_in(engine, image, script, *options):
    return engine.docker(
        "run", "--rm", *options, "--entrypoint", "/bin/bash", image, "-c", script, timeout=600
    ).stdout


def test_it_is_the_ruby_that_was_compiled(engine, image):
    shown = run_in(
        engine, image, "ruby --version; which ruby; rbenv version-name; bundle --version"
    )
    lines = shown.splitlines()
    assert lines[0].startswith(f"ruby {standins.REAL_RUBY}")
    assert lines[1] == "/opt/rbenv/shims/ruby" and lines[2] == standins.REAL_RUBY
    assert lines[3].startswith("Bundler version 2.")
    used = run_in(engine, image, "ldd $(rbenv which ruby)")
    assert "not found" not in used


def test_its_extensions_load(engine, image):
    libraries = "openssl psych zlib fiddle readline socket json digest etc"
    words = " ".join(f"-r{name}" for name in libraries.split())
    shown = run_in(engine, image, f"ruby {words} -e 'puts OpenSSL::OPENSSL_LIBRARY_VERSION'")
    assert shown.startswith("OpenSSL 3.")


def test_bundler_compiles_a_gem_with_a_c_extension(engine, image, tmp_path):
    _, gem = standins.real_ruby()
    folder = tmp_path / "gem"
    folder.mkdir()
    subprocess.run(["tar", "-C", folder, "--strip-components=1", "-xf", gem], check=True)
    # 'git ls-files' in the gemspec: the archive is no repository.
    specification = folder / "bcrypt.gemspec"
    text = specification.read_text().replace('`git ls-files`.split("\\n")', "Dir['**/*']")
    specification.write_text(text)
    made = engine.docker("create", "--entrypoint", "/bin/bash", image, "-c", GEM).stdout.strip()
    engine.docker("cp", str(folder), f"{made}:/tmp/gem")
    shown = engine.docker("start", "--attach", made, timeout=600).stdout
    engine.docker("rm", made)
    assert shown.splitlines()[-1] == "true", shown


def test_packages_of_the_base_have_their_security_updates(engine, image):
    """As the comment in the Dockerfile claims: nothing is left to upgrade."""
    script = "apt-get update -qq >/dev/null 2>&1; apt-get -s upgrade"
    shown = run_in(engine, image, script, "--network=host")
    assert "\n0 upgraded, 0 newly installed" in shown, shown
