// Every command that writes, with each of its system calls going wrong in turn (tests/faults/preload.c).

#ifdef __linux__  // LD_PRELOAD

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cerrno>
#include <fstream>
#include <iostream>
#include <regex>

#include "artifact/recipe.h"
#include "support/file_content.h"
#include "support/running_program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using test::Environment;
using test::Finished;
using Arguments = std::vector<std::string>;

struct Writer {
    const char* name;
    Arguments arguments;  ///< IN/ and OUT/ stand for the folders of inputs and outputs
    const char* target;   ///< in OUT/
};

/// A file but for the memory that a report says was measured: that differs from run to run.
std::string lasting_content(const fs::path& path) {
    static const std::regex kMeasured(R"("measuredBytes": *[0-9]+|[0-9.]+ [kMG]?B at [0-9]+ tokens)");
    const std::string content = test::read_bytes(path);
    return path.extension() == ".json" ? std::regex_replace(content, kMeasured, "") : content;
}

/// Every file below `path`, or the file itself, with its name.
std::string whole_content(const fs::path& path) {
    if (!fs::is_directory(path)) return lasting_content(path);
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(path)) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::string all;
    for (const fs::path& file : files) all += file.filename().string() + "\n" + lasting_content(file);
    return all;
}

class WriteFaults : public testing::TestWithParam<Writer> {
protected:
    static void SetUpTestSuite() {
        inputs_ = std::make_unique<test::TempDir>();
        const fs::path model = test::write_tiny_gguf(*inputs_ / "model.gguf", {.n_layer = 1});
        test::write_tiny_gguf(*inputs_ / "unwell.gguf", {.n_layer = 1, .seed = 2});
        const Recipe recipe =
            test::tiny_recipe(*open_model(model), {.type = GGML_TYPE_F16, .embedding_type = GGML_TYPE_F16});
        save_recipe(recipe, *inputs_ / "recipe.json", Overwrite::kRefuse);
        std::string text;
        for (int i = 0; i < 20; ++i) text += fmt::format("in the inner ring of the water number {}\n", i);
        std::ofstream(*inputs_ / "data.txt") << text;
        const auto prepare = [&](const Arguments& arguments) {
            const test::TempDir scratch;
            ASSERT_EQ(test::run_program(arguments, scratch.path()).exit_code, 0) << arguments.front();
        };
        const auto in = [&](const char* name) { return (*inputs_ / name).string(); };
        prepare({"score", in("model.gguf"), "--data", in("data.txt"), "--chunk", "64", "-o", in("scores.json")});
        prepare({"compress", in("model.gguf"), "--recipe", in("recipe.json"), "-o", in("compressed.gguf")});
    }
    static void TearDownTestSuite() { inputs_.reset(); }

    WriteFaults() { start_afresh(); }

    void start_afresh() const {
        fs::remove_all(out());
        fs::remove(mark());
        fs::create_directory(out());
    }

    fs::path out() const { return dir_ / "out"; }
    fs::path mark() const { return dir_ / "mark"; }
    fs::path target() const { return out() / GetParam().target; }

    Finished run(Environment environment = {}, const fs::path& folder = {}, bool force = false) const {
        Arguments arguments;
        for (std::string argument : GetParam().arguments) {
            if (argument.starts_with("IN/")) argument = (*inputs_ / argument.substr(3)).string();
            if (argument.starts_with("OUT/"))
                argument = ((folder.empty() ? out() : folder) / argument.substr(4)).string();
            arguments.push_back(argument);
        }
        if (force) arguments.emplace_back("--force");
        environment.insert(environment.end(), {{"LD_PRELOAD", test::require_environment("PLASTICITY_TEST_PRELOAD")},
                                               {"ASAN_OPTIONS", "verify_asan_link_order=0"},
                                               {"PLASTICITY_FAULT_FOLDER", out().string() + "/"},
                                               {"PLASTICITY_FAULT_MARK", mark().string()}});
        test::RunningProgram program(arguments, scratch_.path(), environment);
        return program.wait();
    }

    Finished run_with(const std::string& fault) const { return run({{"PLASTICITY_FAULT", fault}}); }

    std::string undisturbed() const {
        EXPECT_EQ(run().exit_code, 0);
        const std::string all = whole_content(target());
        start_afresh();
        return all;
    }

    /// Fails the first call of the kind, then the second, until there are no more of them.
    void expect_failures_to_leave_nothing(std::string_view call, int error) {
        for (int n = 0;; ++n) {
            SCOPED_TRACE(fmt::format("{} number {} fails with {}", call, n, error));
            start_afresh();
            const Finished finished = run_with(fmt::format("{}:{}:{}", call, n, error));
            if (!fs::exists(mark())) {
                EXPECT_EQ(finished.exit_code, 0) << finished.err;
                EXPECT_GE(n, 1) << "no such call was made at all";
                return;
            }
            EXPECT_EQ(finished.exit_code, 6) << finished.err;
            EXPECT_TRUE(fs::is_empty(out())) << whole_content(out()).substr(0, 100);
            if (HasFailure()) return;
        }
    }

    static std::unique_ptr<test::TempDir> inputs_;
    test::TempDir dir_, scratch_;
};
std::unique_ptr<test::TempDir> WriteFaults::inputs_;

INSTANTIATE_TEST_SUITE_P(
    Commands, WriteFaults,
    testing::Values(
        Writer{"compress", {"compress", "IN/model.gguf", "--recipe", "IN/recipe.json", "-o", "OUT/t.gguf"}, "t.gguf"},
        Writer{"export_gguf", {"export", "IN/model.gguf", "--format", "gguf", "-o", "OUT/t.gguf"}, "t.gguf"},
        Writer{"export_hf", {"export", "IN/model.gguf", "--format", "hf", "-o", "OUT/t"}, "t"},
        Writer{"heal",
               {"heal", "IN/unwell.gguf", "--base", "IN/model.gguf", "--data", "IN/data.txt", "--chunk", "64", "-o",
                "OUT/t.gguf"},
               "t.gguf"},
        Writer{"score",
               {"score", "IN/model.gguf", "--data", "IN/data.txt", "--chunk", "64", "-t", "1", "-o", "OUT/t.json"},
               "t.json"},
        Writer{"plan",
               {"plan", "IN/model.gguf", "--scores", "IN/scores.json", "--device", "16gb", "-o", "OUT/t.json"},
               "t.json"},
        Writer{"verify", {"verify", "IN/compressed.gguf", "-t", "1", "-o", "OUT/t.json"}, "t.json"}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST_P(WriteFaults, FailedWritesLeaveNothing) {
    expect_failures_to_leave_nothing("write", EIO);
}
TEST_P(WriteFaults, FullDisksLeaveNothing) {
    expect_failures_to_leave_nothing("write", ENOSPC);
}
TEST_P(WriteFaults, FailedSynchronisationsLeaveNothing) {
    expect_failures_to_leave_nothing("sync", EIO);
}
TEST_P(WriteFaults, FailedRenamesLeaveNothing) {
    expect_failures_to_leave_nothing("name", EIO);
}
TEST_P(WriteFaults, FailedClosesLeaveNothingOrTheWhole) {
    const std::string expected = undisturbed();
    int failures = 0;
    for (int n = 0;; ++n) {
        SCOPED_TRACE(fmt::format("close number {} fails", n));
        start_afresh();
        const Finished finished = run_with(fmt::format("close:{}:{}", n, EIO));
        if (!fs::exists(mark())) break;
        failures += finished.exit_code == 6 ? 1 : 0;
        if (finished.exit_code == 6) {
            EXPECT_TRUE(fs::is_empty(out()));
        } else {  // a journal's: it is not needed any more
            EXPECT_EQ(finished.exit_code, 0) << finished.err;
            EXPECT_TRUE(whole_content(target()) == expected);
        }
    }
    EXPECT_GE(failures, 1);
}

TEST_P(WriteFaults, ShortAndInterruptedCallsChangeNothing) {
    const std::string expected = undisturbed();
    for (const char* fault : {"write:all:short", "write:all:again", "sync:all:again"}) {
        start_afresh();
        const Finished finished = run_with(fault);
        EXPECT_EQ(finished.exit_code, 0) << fault << ": " << finished.err;
        EXPECT_TRUE(fs::exists(mark())) << fault;
        EXPECT_TRUE(whole_content(target()) == expected) << fault;
    }
}

TEST_P(WriteFaults, KilledAtAnyCallTheTargetIsAbsentOrWhole) {
    const std::string expected = undisturbed();
    for (int n = 0; !HasFailure(); ++n) {
        SCOPED_TRACE(fmt::format("killed at call {}", n));
        start_afresh();
        run_with(fmt::format("any:{}:kill", n));
        if (!fs::exists(mark())) {
            EXPECT_GE(n, 4);
            return;
        }
        if (fs::exists(target())) {
            EXPECT_TRUE(whole_content(target()) == expected);
        }
        fs::remove(mark());
        const Finished next = run({}, {}, true);
        EXPECT_EQ(next.exit_code, 0) << next.err;
        EXPECT_TRUE(whole_content(target()) == expected);
        EXPECT_EQ(std::distance(fs::directory_iterator(out()), fs::directory_iterator()), 1)
            << "something is left over";
    }
}

TEST_P(WriteFaults, AMissingFolderIsSaidBeforeTheWork) {
    const Finished finished = run({{"PLASTICITY_FREE_BYTES", "1000000000"}}, dir_ / "absent");
    EXPECT_EQ(finished.exit_code, 6) << finished.err;
    EXPECT_NE(finished.err.find("create the folder first"), std::string::npos) << finished.err;
    EXPECT_EQ(std::count(finished.err.begin(), finished.err.end(), '\n'), 1) << "work had begun: " << finished.err;
}

class FullDisk : public WriteFaults {
protected:
    void expect_refusal(const Finished& finished) const {
        EXPECT_EQ(finished.exit_code, 6) << finished.err;
        EXPECT_NE(finished.err.find("needs "), std::string::npos) << finished.err;
        EXPECT_NE(finished.err.find("free"), std::string::npos) << finished.err;
        EXPECT_TRUE(fs::is_empty(out()));
    }
};
INSTANTIATE_TEST_SUITE_P(
    Commands, FullDisk,
    testing::Values(
        Writer{"compress", {"compress", "IN/model.gguf", "--recipe", "IN/recipe.json", "-o", "OUT/t.gguf"}, "t.gguf"},
        Writer{"export_gguf", {"export", "IN/model.gguf", "--format", "gguf", "-o", "OUT/t.gguf"}, "t.gguf"},
        Writer{"export_hf", {"export", "IN/model.gguf", "--format", "hf", "-o", "OUT/t"}, "t"}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST_P(FullDisk, IsSaidBeforeAnythingIsWritten) {
    // Were a single byte written, this would fail with another message and leave its mark.
    expect_refusal(run({{"PLASTICITY_FREE_BYTES", "20000"}, {"PLASTICITY_FAULT", fmt::format("write:all:{}", EIO)}}));
    EXPECT_FALSE(fs::exists(mark()));
    EXPECT_EQ(run({{"PLASTICITY_FREE_BYTES", "2000000"}}).exit_code, 0);
}

TEST_P(FullDisk, IsSaidOnARealOne) {
    if (mount("tmpfs", out().c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=16k") != 0) {
        // Needs root. The same refusal is always tried above, by what statvfs says.
        std::cout << "no tmpfs may be mounted here (" << std::generic_category().message(errno) << ")\n";
        return;
    }
    const Finished finished = run();
    expect_refusal(finished);
    umount2(out().c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace plasticity

#endif
