#include "io/child_process.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/clock.h"
#include "io/python.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

ChildResult shell(const std::string& script, double deadline_seconds = 0) {
    return run_child({.program = "/bin/sh", .arguments = {"-c", script}}, {.deadline_seconds = deadline_seconds});
}

TEST(ChildProcess, TellsHowItEndedAndWhatItSaid) {
    const ChildResult result = shell("echo out; echo err >&2; exit 3");
    EXPECT_EQ(result.exit_code, 3);
    EXPECT_EQ(result.out, "out\n");
    EXPECT_EQ(result.err, "err\n");
    EXPECT_EQ(result.ending(), "exit code 3");
    EXPECT_EQ(shell("kill -SEGV $$").signal, SIGSEGV);
}

TEST(ChildProcess, TakesNoMoreOutputThanWasAsked) {
    const ChildResult result =
        run_child({.program = "/bin/sh", .arguments = {"-c", "head -c 300000 /dev/zero"}}, {.most_output = 1000});
    EXPECT_EQ(result.exit_code, 0) << "the rest is read all the same";
    EXPECT_EQ(result.out.size(), 1000u);
}

TEST(ChildProcess, IsKilledWithItsChildrenWhenItsTimeIsOver) {
    const auto start = Clock::now();
    const ChildResult result = shell("sleep 60 & sleep 60", 0.2);
    EXPECT_TRUE(result.timed_out);
    EXPECT_LT(seconds_since(start), 30);
}

TEST(ChildProcess, SaysWhyItCannotBeStarted) {
    test::expect_error(ErrorKind::kIo, {"cannot be started"}, [] { run_child({.program = "/nowhere/program"}); });
    test::expect_error(ErrorKind::kUsage, {"the folder cannot be entered"},
                       [] { run_child({.program = "/bin/sh", .folder = "/nowhere"}); });
    EXPECT_EQ(find_program("no such program"), std::filesystem::path());
    EXPECT_FALSE(find_program("sh").empty());
}

class SandboxedProgram : public testing::Test {
protected:
    void SetUp() override {
        if (const std::string obstacle = sandbox_obstacle(); !obstacle.empty()) GTEST_SKIP() << obstacle;
        python_ = find_python();
        if (python_.empty()) GTEST_SKIP() << "no python3";
    }
    ChildResult python(const std::string& program) const {
        return run_child({.program = python_,
                          .arguments = {"-I", "-c", program},
                          .folder = dir_.path(),
                          .sandbox = Sandbox{.folder = dir_.path(), .cpu_seconds = 2}},
                         {.deadline_seconds = 60});
    }
    void expect_refused(const std::string& program, const std::string& reason) const {
        const ChildResult result = python(program);
        EXPECT_NE(result.exit_code, 0) << program;
        EXPECT_NE(result.err.find(reason), std::string::npos) << program << ": " << result.ending() << result.err;
    }

    test::TempDir dir_, other_;
    std::filesystem::path python_;
};

TEST_F(SandboxedProgram, ComputesAndWritesInItsFolder) {
    const ChildResult result = python(
        "import math, threading\nopen('a', 'w').write('x')\nimport os\nos.rename('a', 'b')\n"
        "t = threading.Thread(target=lambda: print(math.gcd(12, 18)))\nt.start(); t.join()");
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, "6\n");
    EXPECT_TRUE(std::filesystem::exists(dir_ / "b"));
}

TEST_F(SandboxedProgram, WritesNowhereElse) {
    std::ofstream(other_ / "kept") << "kept";
    const std::string kept = "'" + (other_ / "kept").string() + "'";
    expect_refused("open(" + kept + ", 'w')", "PermissionError");
    expect_refused("import os; os.remove(" + kept + ")", "PermissionError");
    expect_refused("import os; os.truncate(" + kept + ", 0)", "PermissionError");
    expect_refused("import os; os.chmod(" + kept + ", 0)", "PermissionError");
    expect_refused("import os; os.rename(" + kept + ", 'stolen')", "Error");
    expect_refused("import os; os.mkdir('" + (other_ / "new").string() + "')", "PermissionError");
    EXPECT_EQ(std::filesystem::file_size(other_ / "kept"), 4u);
}

TEST_F(SandboxedProgram, ReachesNobody) {
    expect_refused("import socket; socket.socket()", "PermissionError");
    expect_refused("import socket; socket.socket(socket.AF_UNIX)", "PermissionError");
    expect_refused("import os; os.fork()", "PermissionError");
    expect_refused("import subprocess; subprocess.run(['/bin/true'])", "PermissionError");
    expect_refused("import os; os.kill(os.getppid(), 9)", "PermissionError");
}

TEST_F(SandboxedProgram, TakesNoMoreThanItsShare) {
    expect_refused("x = bytearray(3 << 30)", "MemoryError");
    expect_refused("open('large', 'wb').write(bytes(64 << 20))", "File too large");
    expect_refused("f = [open('f%d' % i, 'w') for i in range(100)]", "Too many open files");
    const ChildResult busy = python("while True: pass");
    EXPECT_NE(busy.signal, 0) << "stopped by the limit of processor time";
    EXPECT_FALSE(busy.timed_out);
}

TEST_F(SandboxedProgram, SeesNothingOfTheEnvironment) {
    setenv("PLASTICITY_TEST_SECRET", "secret", 1);
    const ChildResult result = python("import os; print(sorted(os.environ))");
    EXPECT_EQ(result.out.find("SECRET"), std::string::npos) << result.out;
}

}  // namespace
}  // namespace plasticity
