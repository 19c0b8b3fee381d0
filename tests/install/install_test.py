#!/usr/bin/env python3
"""What `cmake --install` leaves serves strangers: C and C++ programs, people who look things up, Debian.

    install_test.py BUILD SOURCES MODEL

The tree is installed with DESTDIR and then moved, as packages do; each example scores, plans, compresses and runs MODEL.
"""

import os
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

from command import run

BUILD, SOURCES, MODEL = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
PACKAGES = {"plasticity", "libplasticity0.1", "libplasticity-dev"}


class Installed(unittest.TestCase):
    """Every test sees the same installed tree."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = pathlib.Path(cls.scratch.name)
        run("cmake", "--install", BUILD, "--prefix", "/opt/plasticity", env=os.environ | {"DESTDIR": cls.folder / "staged"})
        cls.prefix = cls.folder / "moved"
        shutil.move(cls.folder / "staged/opt/plasticity", cls.prefix)
        cls.library = next(cls.prefix.rglob("libplasticity.so"))
        cls.environment = os.environ | {"LD_LIBRARY_PATH": str(cls.library.parent),
                                        "PKG_CONFIG_PATH": str(cls.library.parent / "pkgconfig")}

    def compresses(self, program):
        """The example does all stages, and what it wrote is smaller than the model."""
        with tempfile.TemporaryDirectory() as work:
            text = run(program, MODEL, SOURCES / "tests/install/install_test.py", cwd=work, env=self.environment)
            self.assertGreater(len(text), 10)
            size = pathlib.Path(work, "small.gguf").stat().st_size
            self.assertLess(size, MODEL.stat().st_size)

    def test_c_program_by_pkg_config(self):
        flags = run("pkg-config", "--cflags", "--libs", "plasticity", env=self.environment).split()
        program = self.folder / "compress_c"
        run("cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", SOURCES / "examples/compress.c", *flags, "-o", program)
        self.compresses(program)

    def configure_project(self, build, version):
        return ["cmake", "-S", SOURCES / "tests/install/project", "-B", build, "-G", "Ninja", f"-DWANTED={version}",
                f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DEXAMPLES={SOURCES / 'examples'}",
                f"-DPUBLIC_HEADERS={self.prefix / 'include/plasticity'}"]

    def test_cpp_project_by_find_package(self):
        build = self.folder / "project"
        run(*self.configure_project(build, "0.1"))
        run("cmake", "--build", build)
        self.compresses(build / "compress_cpp")

    def test_another_minor_version_is_refused(self):
        with self.assertRaisesRegex(AssertionError, "compatible with requested version"):
            run(*self.configure_project(self.folder / "other", "0.2"))

    def test_errors_and_cancellation_from_c(self):
        source = SOURCES / "tests/install/c_api_test.c"
        flags = run("pkg-config", "--cflags", "--libs", "plasticity", env=self.environment).split()
        program = self.folder / "c_api_test"
        run("cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", source, *flags, "-pthread", "-o", program)
        with tempfile.TemporaryDirectory() as work:
            run(program, MODEL, cwd=work, env=self.environment)
            self.assertEqual(os.listdir(work), [])

    def test_library_shows_its_interface_alone(self):
        symbols = run("nm", "--dynamic", "--defined-only", "--demangle", "--format=posix", self.library)
        foreign = [line for line in symbols.splitlines() if "plasticity" not in line.lower()]
        self.assertEqual(foreign, [])
        self.assertNotIn("open_model", symbols)
        self.assertIn("plasticity_compress", symbols)

    def test_man_pages_render_without_warnings(self):
        pages = sorted((self.prefix / "share/man/man1").glob("*.1"))
        self.assertIn("plasticity-score.1", [page.name for page in pages])
        for page in pages:
            if shutil.which("mandoc"):
                run("mandoc", "-T", "lint", "-W", "warning", page)
            if shutil.which("man"):
                text = run("man", "--warnings", "-l", page, env=os.environ | {"MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
                self.assertIn(page.stem, text)

    def test_options_stand_in_man_pages_and_completions(self):
        help_text = run(self.prefix / "bin/plasticity", "score", "--help")
        names = set(re.findall(r"--[a-z-]+", help_text)) - {"--i", "--n"}
        page = (self.prefix / "share/man/man1/plasticity-score.1").read_text().replace("\\-", "-")
        completion = (self.prefix / "share/bash-completion/completions/plasticity").read_text()
        self.assertGreater(len(names), 20)
        for name in names:
            self.assertIn(name, page)
            self.assertIn(name, completion)

    def test_completions_complete(self):
        script = self.prefix / "share/bash-completion/completions/plasticity"
        ask = ('source "$1"; COMP_WORDS=("${@:2}"); COMP_CWORD=$(($# - 2)); _plasticity; printf "%s\\n" "${COMPREPLY[@]}"')
        for words, expected in [(["plasticity", "comp"], "compress"), (["plasticity", "bench", ""], "speed"),
                                (["plasticity", "score", "--lora"], "--lora-targets"),
                                (["plasticity", "reference", "--out"], "--output")]:
            self.assertIn(expected, run("bash", "-c", ask, "bash", script, *words).split())
        for shell, file in [("zsh", "share/zsh/site-functions/_plasticity"),
                            ("fish", "share/fish/vendor_completions.d/plasticity.fish")]:
            if shutil.which(shell):
                run(shell, "-n", self.prefix / file)

    @unittest.skipUnless(shutil.which("dpkg-shlibdeps"), "no Debian system")
    def test_debian_packages(self):
        packed = self.folder / "packages"
        run("cpack", "--config", BUILD / "CPackConfig.cmake", "-B", packed)
        packages = {run("dpkg-deb", "--field", file, "Package").strip(): file for file in packed.glob("*.deb")}
        self.assertEqual(set(packages), PACKAGES)
        self.assertIn("libc6", run("dpkg-deb", "--field", packages["plasticity"], "Depends"))
        root = self.folder / "root"
        for file in packages.values():
            run("dpkg-deb", "--extract", file, root)
        self.assertIn("plasticity 0.", run(root / "usr/bin/plasticity", "--version"))
        self.assertTrue((root / "usr/share/man/man1/plasticity.1").exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
